# SPDX-License-Identifier: Apache-2.0
# egress in a container, for `egress serve` and `egress worker`: one static file and the certificate
# authorities.
#
#   docker build -t egress .
#   docker run --rm egress help serve
#
# docs/operations.md says what serve needs, docs/aws.md what a worker does. It runs as no user in
# particular; nothing is written but below /data, and by a worker nothing at all. There is no
# HEALTHCHECK: it would be serve's alone. docs/operations.md has one for it.
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
    cp build/static-$arch/egress /usr/local/bin/egress && \
    mkdir /data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/bin/egress /egress
COPY LICENSE /LICENSE
# The journal of serve. In a container of its own the port has to be open to others.
COPY --from=build --chown=65532:65532 --chmod=700 /data /data
ENV EGRESS_JOURNAL=/data/egress.journal EGRESS_LISTEN=:8080
VOLUME /data
EXPOSE 8080
USER 65532:65532
ENTRYPOINT ["/egress"]
CMD ["help"]
