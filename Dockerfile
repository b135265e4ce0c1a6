# SPDX-License-Identifier: Apache-2.0
# egress in a container, for `egress worker`: one static file and the certificate authorities.
#
#   docker build -t egress .
#   docker run --rm egress help worker
#
# docs/aws.md says what a worker needs. It runs as no user in particular and writes no file.
FROM debian:bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates make
WORKDIR /egress
COPY tools/install-deps.sh tools/build-static-libs.sh tools/
RUN arch=$(uname -m | sed s/aarch64/arm64/) && \
    tools/install-deps.sh lambda-$arch && \
    tools/build-static-libs.sh $arch build/static/$arch
COPY Makefile ./
COPY src src
RUN arch=$(uname -m | sed s/aarch64/arm64/) && \
    make static ARCH=$arch && \
    cp build/static-$arch/egress /usr/local/bin/egress

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/bin/egress /egress
COPY LICENSE /LICENSE
USER 65532:65532
ENTRYPOINT ["/egress"]
CMD ["help"]
