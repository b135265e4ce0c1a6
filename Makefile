# SPDX-License-Identifier: Apache-2.0
# egress: the only build file.
#
#   make            builds build/egress, build/bootstrap (for Lambda) and build/egress-sim
#   make deps       installs the Debian packages that make, make check and make bench need
#   make demo       installs what is missing, builds, shows the main job end to end (under a minute)
#   make check      build, layer check, linters, unit tests, end-to-end tests, sanitizers
#   make check-all  what takes longer: faults in every call, a second S3 server, end-to-end tests
#                   under the sanitizers, threads under theirs, fuzzing, packaging
#   make bench      measures; see docs/performance.md; ONLY=fetch: that alone, or another of the
#                   names below; BENCH_QUICK=1: less of it, for a look, and nothing is written
#   make lambda     the Lambda program as one static file, build/lambda/ARCH/bootstrap; ARCH=x86_64
#                   (as it is without) or ARCH=arm64
#   make static     egress itself as such a file, build/static-ARCH/egress
#   make deploy     builds it and deploys template.yaml to AWS; see docs/aws.md
#   make install    into $(DESTDIR)$(PREFIX); make uninstall takes it out again
#   make soak       egress serve under load with faults for MINUTES=60; else for ten
#   make torture    kills egress serve, in each crash window and at random; TORTURE_KILLS=N
#   make unit | e2e | lint | layers | fuzz | format      one of them; e2e ARGS="-k fetch -x"
#
# Variants, each with a build folder of its own: SAN=address,undefined  SAN=thread  FUZZ=1
# STATIC=x86_64|arm64  TORTURE=1 (with the fault points of docs/STATES.md).
# V=1 shows the commands.

MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := all

VERSION := 0.1.0
PREFIX ?= /usr/local
PYTHON ?= /usr/bin/python3
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PARALLEL = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))
comma := ,

ifdef FUZZ
CC := clang
override SAN := address,undefined
BUILD := build/fuzz
else ifdef STATIC
BUILD := build/static-$(STATIC)
STATIC_LIBS := build/static/$(STATIC)
STATIC_TRIPLET := $(if $(filter arm64,$(STATIC)),aarch64,x86_64)-linux-gnu
override CC := $(STATIC_TRIPLET)-gcc
override AR := $(STATIC_TRIPLET)-gcc-ar
else ifdef SAN
BUILD := build/san-$(subst $(comma),-,$(SAN))
else ifdef TORTURE
BUILD := build/torture
else
BUILD := build
endif

PKG_CONFIG ?= pkg-config
PACKAGES := libcurl jansson expat libcrypto libisal
SERVE_PACKAGES := sqlite3 libmicrohttpd
SIM_PACKAGES := libmicrohttpd

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wwrite-strings -Wvla -Wno-missing-field-initializers \
            -Wno-format-truncation
ifneq (,$(findstring clang,$(CC)))
WARNINGS += -Wno-unknown-warning-option
endif
ifdef SAN
OPT := -O1 -g -fno-omit-frame-pointer
HARDEN := -fPIE
SANITIZE := -fsanitize=$(SAN) -fno-sanitize-recover=all
else
OPT ?= -O2 -g
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
endif
ifdef FUZZ
SANITIZE += -fsanitize=fuzzer-no-link
endif
ifdef WERROR
WARNINGS += -Werror
endif

CPPFLAGS += -D_POSIX_C_SOURCE=200809L -DEGRESS_VERSION='"$(VERSION)"' -Isrc -I. -include src/core/banned.h
ifdef TORTURE
CPPFLAGS += -DEGRESS_FAULT_POINTS
endif
CFLAGS += -std=c11 $(OPT) $(WARNINGS) $(HARDEN) $(SANITIZE)
LDFLAGS += $(SANITIZE) -pie -Wl,-z,relro,-z,now

pkg_cflags := $(shell $(PKG_CONFIG) --cflags $(PACKAGES) $(SERVE_PACKAGES) 2>/dev/null)
pkg_libs := $(shell $(PKG_CONFIG) --libs $(PACKAGES) 2>/dev/null) -lm -lpthread
# What egress has besides; the Lambda program does without.
serve_libs := $(shell $(PKG_CONFIG) --libs $(SERVE_PACKAGES) 2>/dev/null)
ifdef STATIC
# One file that needs nothing of the machine it runs on but the kernel. --wrap: src/static_*.c.
pkg_cflags := -isystem $(STATIC_LIBS)/include -DCURL_STATICLIB
serve_libs := -L$(STATIC_LIBS)/lib -lsqlite3 -lmicrohttpd
pkg_libs := -L$(STATIC_LIBS)/lib -lcurl -lssl -lcrypto -lcares -lexpat -ljansson -lisal -lm -lpthread
STATIC_OBJECTS := $(BUILD)/obj/src/static_libc.o $(BUILD)/obj/src/static_tls.o
CFLAGS += -ffunction-sections -fdata-sections
LDFLAGS += -static-pie -Wl,--gc-sections,--wrap=dlopen,--wrap=OPENSSL_init_ssl -s
endif
sim_libs := $(shell $(PKG_CONFIG) --libs $(SIM_PACKAGES) 2>/dev/null) $(pkg_libs)

LIB_SOURCES := $(wildcard src/*/*.c)
SIM_SOURCES := $(wildcard sim/*.c)
UNIT_SOURCES := $(wildcard tests/unit/*/test_*.c)
# What several unit tests use: everything there that is not a test itself.
UNIT_HELPERS := $(filter-out $(UNIT_SOURCES),$(wildcard tests/unit/*.c tests/unit/*/*.c))
UNIT_PROGRAMS := $(UNIT_SOURCES:tests/unit/%.c=$(BUILD)/unit/%)
ifeq ($(SAN),thread)
# Where threads meet: transfers live on the loop's thread alone, and move much data in their tests.
UNIT_PROGRAMS := $(filter-out $(BUILD)/unit/transfer/%,$(UNIT_PROGRAMS))
endif
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_PROGRAMS := $(FUZZ_SOURCES:tests/fuzz/%.c=$(BUILD)/%)
# Programs that end-to-end tests run besides our own.
TOOL_SOURCES := $(wildcard tests/tools/*.c)
FAULTPROXY_SOURCES := $(wildcard tests/faultproxy/*.c)
TOOL_PROGRAMS := $(TOOL_SOURCES:tests/tools/%.c=$(BUILD)/tests/%) $(BUILD)/tests/faultproxy
BENCH_SOURCES := $(wildcard bench/*.c)
BENCH_PROGRAMS := $(BENCH_SOURCES:bench/%.c=$(BUILD)/bench/%) $(BUILD)/bench/ends
BENCH_ENDS := $(wildcard bench/ends/*.c)
SOURCES := $(wildcard src/*.c) $(LIB_SOURCES) $(SIM_SOURCES) $(UNIT_SOURCES) $(UNIT_HELPERS) \
           $(FUZZ_SOURCES) $(BENCH_SOURCES) $(BENCH_ENDS) $(FAULTPROXY_SOURCES)

Q := $(if $(V),,@)
told = $(if $(V),,@echo '  $(1) $@')

objects = $(1:%.c=$(BUILD)/obj/%.o)
LIB := $(BUILD)/libegress.a

# ---- building --------------------------------------------------------------------------------

# A make of its own each: pkg-config is asked when the file is read, so after packages are there.
.PHONY: all
all:
	@tools/install-deps.sh --check build
	+@$(MAKE) $(PARALLEL) programs

.PHONY: deps
deps:
	@tools/install-deps.sh build check bench

.PHONY: programs
programs: $(BUILD)/egress $(BUILD)/egress-sim $(BUILD)/bootstrap

$(BUILD)/egress: $(call objects,src/main.c) $(STATIC_OBJECTS) $(LIB)
	$(call told,link)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(serve_libs) $(pkg_libs)

$(BUILD)/egress-sim: $(call objects,$(SIM_SOURCES)) $(LIB)
	$(call told,link)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(sim_libs)

# The Lambda program. Of the library only what it needs is linked.
$(BUILD)/bootstrap: $(call objects,src/bootstrap.c) $(STATIC_OBJECTS) $(LIB)
	$(call told,link)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(pkg_libs)

# The files of the page, inside the program.
PAGE_FILES := src/report/page.html src/report/page.css $(BUILD)/page.js
PAGE_OBJECT := $(BUILD)/obj/page_files.o

$(BUILD)/page.js: src/report/page_text.js src/report/page_plot.js src/report/page.js
	@mkdir -p $(@D)
	$(Q)cat $^ >$@

$(BUILD)/page_files.c: tools/embed.sh $(PAGE_FILES)
	@mkdir -p $(@D)
	$(call told,make)
	$(Q)tools/embed.sh $(PAGE_FILES) >$@.new && mv $@.new $@

$(PAGE_OBJECT): $(BUILD)/page_files.c src/report/page.h src/report/page_files.h $(BUILD)/flags
	@mkdir -p $(@D)
	$(call told,cc  )
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(LIB): $(call objects,$(LIB_SOURCES)) $(PAGE_OBJECT)
	@rm -f $@
	$(call told,ar  )
	$(Q)$(AR) rcs $@ $^

# The flags are part of what an object is made from: a change of them rebuilds.
flags := $(subst ','\'',$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS))
$(BUILD)/flags: force
	@mkdir -p $(BUILD)
	@echo '$(flags)' | cmp -s - $@ || echo '$(flags)' > $@
.PHONY: force

$(BUILD)/obj/%.o: %.c $(BUILD)/flags $(STATIC:%=$(STATIC_LIBS)/done)
	@mkdir -p $(@D)
	$(call told,cc  )
	$(Q)$(CC) $(CPPFLAGS) $(pkg_cflags) $(CFLAGS) -MMD -MP -c -o $@ $<

# What tests of the simulator's own files link with.
SIM_PARTS := $(call objects,$(filter-out sim/main.c,$(SIM_SOURCES)))

$(BUILD)/unit/sim/%: $(BUILD)/obj/tests/unit/sim/%.o $(SIM_PARTS) $(LIB)
	@mkdir -p $(@D)
	$(call told,link)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(sim_libs)

$(BUILD)/libunit.a: $(call objects,$(UNIT_HELPERS))
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/libunit.a $(LIB)
	@mkdir -p $(@D)
	$(call told,link)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(serve_libs) $(pkg_libs)

$(BUILD)/tests/%: $(BUILD)/obj/tests/tools/%.o $(LIB)
	@mkdir -p $(@D)
	$(call told,link)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(serve_libs) $(pkg_libs)

$(BUILD)/tests/faultproxy: $(call objects,$(FAULTPROXY_SOURCES)) $(LIB)
	@mkdir -p $(@D)
	$(call told,link)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(pkg_libs)

# A real S3 server and AWS's Lambda emulator for the tests, from their sources; kept for all variants.
VERSITYGW := build/tools/versitygw
RIE := build/tools/aws-lambda-rie
$(VERSITYGW): tools/build-versitygw.sh tools/build-go.sh
	@echo '  go    $@'
	$(Q)tools/build-versitygw.sh $@

$(RIE): tools/build-rie.sh tools/build-go.sh
	@echo '  go    $@'
	$(Q)tools/build-rie.sh $@

$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(LIB)
	@mkdir -p $(@D)
	$(call told,link)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(serve_libs) $(pkg_libs)

# The two ends of the transfers that are measured.
$(BUILD)/bench/ends: pkg_libs += -lssl
$(BUILD)/bench/ends: $(call objects,$(BENCH_ENDS)) $(LIB)
	@mkdir -p $(@D)
	$(call told,link)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(pkg_libs)

# What the Lambda program's start is measured with, and against.
$(BUILD)/bench/startup: pkg_libs += -lssl
$(BUILD)/bench/empty_runtime: $(BUILD)/obj/bench/empty_runtime.o
	@mkdir -p $(@D)
	$(call told,link)
	$(Q)$(CC) $(SANITIZE) -static -s -o $@ $^

$(BUILD)/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(LIB)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(serve_libs) $(pkg_libs)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
.SECONDARY:

# ---- for AWS ---------------------------------------------------------------------------------

ARCH ?= x86_64
LAMBDA_ZIP_MAX := 3000000

.PHONY: static
static:
	@tools/install-deps.sh lambda-$(ARCH)
	+@$(MAKE) $(PARALLEL) STATIC=$(ARCH) build/static-$(ARCH)/egress

.PHONY: lambda
lambda:
	@tools/install-deps.sh lambda-$(ARCH)
	+@$(MAKE) $(PARALLEL) STATIC=$(ARCH) build/lambda/$(ARCH)/bootstrap

ifdef STATIC
$(STATIC_LIBS)/done: tools/build-static-libs.sh
	$(Q)tools/build-static-libs.sh $(STATIC) $(STATIC_LIBS)

# What gzip makes of it is what a zip makes of it.
build/lambda/$(STATIC)/bootstrap: $(BUILD)/bootstrap
	@mkdir -p $(@D)
	@zip=$$(gzip -9 <$< | wc -c); [ $$zip -le $(LAMBDA_ZIP_MAX) ] || { \
	 echo "$<: $$zip bytes when zipped; expected $(LAMBDA_ZIP_MAX) at most" >&2; exit 1; }
	@install -m 755 $< $@
	@ls -l $@
endif

# These two are called by `sam build`, which does not tell the architecture (README.md, "Deploy").
EGRESS_ARCH ?= x86_64
.PHONY: build-EgressFunction build-EgressWorkerFunction
build-EgressFunction build-EgressWorkerFunction:
	+@MAKE='$(MAKE)' tools/build-function.sh "$(EGRESS_ARCH)" "$(ARTIFACTS_DIR)"

# The SAM command line and cfn-lint; kept for all variants, made anew when the list is another.
SAM_VENV := build/tools/sam-venv
SAM_LIST := tools/requirements-sam.txt
.PHONY: sam
sam:
	@cmp -s $(SAM_LIST) $(SAM_VENV)/$(notdir $(SAM_LIST)) || { echo '  pip   $(SAM_VENV)' && \
	 $(PYTHON) -m venv --clear $(SAM_VENV) && \
	 $(SAM_VENV)/bin/pip install --quiet --disable-pip-version-check -r $(SAM_LIST) && \
	 cp $(SAM_LIST) $(SAM_VENV)/; }

# BUCKET= and TOKEN_FILE= are needed the first time; PARAMETERS="NAME=VALUE ..." are the template's.
STACK ?= voxel51-platform-egress
.PHONY: deploy
deploy: sam
	@$(SAM_VENV)/bin/python tools/deploy.py --stack '$(STACK)' \
	 $(if $(BUCKET),--bucket '$(BUCKET)') $(if $(TOKEN_FILE),--token-file '$(TOKEN_FILE)') \
	 $(if $(filter file,$(origin ARCH)),,--arch '$(ARCH)') \
	 $(if $(NEW_WEBHOOK_TOKEN),--new-webhook-token) -- $(PARAMETERS)

# ---- demo, bench -----------------------------------------------------------------------------

.PHONY: demo
demo:
	@tools/install-deps.sh demo
	+@$(MAKE) $(PARALLEL) programs
	@tools/demo.sh

ONLY ?= fetch ranges many growth version startup webhooks serve journal
.PHONY: bench
bench:
	@tools/install-deps.sh bench
	+@$(MAKE) $(PARALLEL) programs bench-programs bench-peers
	+$(if $(filter startup,$(ONLY)),@$(MAKE) lambda ARCH=$(patsubst aarch64,arm64,$(shell uname -m)))
	@for name in $(ONLY); do $(PYTHON) bench/$$name.py || exit 1; done

# A measurement for which there is no time in the rest of them.
MINUTES ?= 10
.PHONY: soak
soak:
	@tools/install-deps.sh bench check
	+@$(MAKE) $(PARALLEL) programs bench-programs tool-programs
	@$(PYTHON) bench/soak.py --minutes $(MINUTES)

# What is measured beside egress and is no Debian package. A peer that cannot be had is named in the
# results as missing.
BENCH_VENV := build/tools/bench-venv
BENCH_LIST := tools/requirements-bench.txt
S5CMD := build/tools/s5cmd
.PHONY: bench-peers
bench-peers:
	@cmp -s $(BENCH_LIST) $(BENCH_VENV)/$(notdir $(BENCH_LIST)) || { echo '  pip   $(BENCH_VENV)' && \
	 $(PYTHON) -m venv --clear $(BENCH_VENV) && \
	 $(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check -r $(BENCH_LIST) && \
	 cp $(BENCH_LIST) $(BENCH_VENV)/; } || echo 'bench: no AWS CRT'
	@[ -x $(S5CMD) ] || { echo '  go    $(S5CMD)' && tools/build-s5cmd.sh $(S5CMD); } || \
	 echo 'bench: no s5cmd'

.PHONY: bench-programs
bench-programs: $(BENCH_PROGRAMS) $(BUILD)/tests/httpd-echo

# ---- checking --------------------------------------------------------------------------------

.PHONY: check check-all
check check-all:
	@tools/install-deps.sh $@
	+@MAKE='$(MAKE)' tools/$@.sh

# Runs every unit test program of this variant; each prints cmocka's own closing lines.
.PHONY: unit
unit:
	+@$(MAKE) $(PARALLEL) unit-programs
	@tools/run-unit.sh $(UNIT_PROGRAMS)

.PHONY: unit-programs
unit-programs: $(UNIT_PROGRAMS)

# Against the programs of this variant; EGRESS_BIN and EGRESS_SIM name others. With a sanitizer the
# Lambda program's tests too.
.PHONY: e2e
e2e: e2e-programs
	@$(run_e2e) $(patsubst %,--ignore=%,$(E2E_LONG) $(E2E_TORTURE) $(E2E_PAGE) \
	 $(filter-out $(if $(SAN),$(E2E_LAMBDA)),$(E2E_AWS))) tests/e2e $(ARGS)

# What takes minutes: faults in every call, a second S3 server, which is built first, and waiting;
# and what needs servers of others: reverse proxies.
E2E_LONG := tests/e2e/test_faults_store.py tests/e2e/test_fetch_versitygw.py \
            tests/e2e/test_all_faults.py tests/e2e/test_doctor_long.py \
            tests/e2e/test_worker_long.py tests/e2e/test_two_at_once.py \
            tests/e2e/test_reverse_proxy.py tests/e2e/test_serve_hostile.py \
            tests/e2e/test_serve_long.py
.PHONY: e2e-long
e2e-long: e2e-programs $(VERSITYGW)
	@$(run_e2e) $(E2E_LONG) $(ARGS)

# The page of egress serve in Chromium. What drives it is kept for all variants, made anew when the
# list is another.
E2E_PAGE := tests/e2e/test_page.py tests/e2e/test_page_daemon.py
PAGE_VENV := build/tools/page-venv
PAGE_LIST := tests/e2e/requirements-page.txt
.PHONY: e2e-page
e2e-page: PYTHON = $(PAGE_VENV)/bin/python
e2e-page: e2e-programs page-venv
	@$(run_e2e) $(E2E_PAGE) $(ARGS)

.PHONY: page-venv
page-venv:
	@cmp -s $(PAGE_LIST) $(PAGE_VENV)/$(notdir $(PAGE_LIST)) || { echo '  pip   $(PAGE_VENV)' && \
	 /usr/bin/python3 -m venv --clear --system-site-packages $(PAGE_VENV) && \
	 $(PAGE_VENV)/bin/pip install --quiet --disable-pip-version-check -r $(PAGE_LIST) && \
	 cp $(PAGE_LIST) $(PAGE_VENV)/; }

# The picture of it in the README, docs/page.png.
.PHONY: page-picture
page-picture: e2e-programs page-venv
	@EGRESS_BIN=$(CURDIR)/$(BUILD)/egress $(PAGE_VENV)/bin/python tests/e2e/page_picture.py docs/page.png

# What is deployed to AWS: the Lambda program, as one file for both architectures, and the SAM
# application.
E2E_LAMBDA := tests/e2e/test_lambda.py tests/e2e/test_lambda_again.py \
              tests/e2e/test_lambda_runtime.py
E2E_AWS := $(E2E_LAMBDA) tests/e2e/test_rie.py tests/e2e/test_static.py \
           tests/e2e/test_sam.py tests/e2e/test_deploy.py
.PHONY: e2e-aws
e2e-aws: e2e-programs sam $(RIE)
	+@$(MAKE) lambda ARCH=x86_64
	+@$(MAKE) lambda ARCH=arm64
	+@$(MAKE) static ARCH=x86_64
	+@$(MAKE) static ARCH=arm64
	@$(run_e2e) $(E2E_AWS) $(ARGS)

# egress serve, killed: in each crash window of docs/STATES.md, and at random TORTURE_KILLS times.
E2E_TORTURE := tests/e2e/test_torture.py
.PHONY: torture
torture: e2e-programs
	+@$(MAKE) $(PARALLEL) TORTURE=1 build/torture/egress
	@EGRESS_TORTURE="$(CURDIR)/build/torture/egress" $(run_e2e) $(E2E_TORTURE) $(ARGS)

# Where threads meet: the daemon, under the sanitizer for them.
.PHONY: e2e-threads
e2e-threads:
	+@$(MAKE) SAN=thread e2e-programs
	+@$(MAKE) SAN=thread e2e-daemon
.PHONY: e2e-daemon
e2e-daemon:
	@$(run_e2e) tests/e2e/test_serve.py tests/e2e/test_serve_more.py \
	 tests/e2e/test_serve_hostile.py $(ARGS)

.PHONY: e2e-programs
e2e-programs:
	+@$(MAKE) $(PARALLEL) programs tool-programs
run_e2e = EGRESS_BIN="$${EGRESS_BIN:-$(CURDIR)/$(BUILD)/egress}" \
	 EGRESS_BOOTSTRAP="$${EGRESS_BOOTSTRAP:-$(CURDIR)/$(BUILD)/bootstrap}" \
	 EGRESS_SIM="$${EGRESS_SIM:-$(CURDIR)/$(BUILD)/egress-sim}" \
	 EGRESS_SIGV4_SIGN="$${EGRESS_SIGV4_SIGN:-$(CURDIR)/$(BUILD)/tests/sigv4-sign}" \
	 EGRESS_SECRET_GET="$${EGRESS_SECRET_GET:-$(CURDIR)/$(BUILD)/tests/secret-get}" \
	 EGRESS_HTTPD_ECHO="$${EGRESS_HTTPD_ECHO:-$(CURDIR)/$(BUILD)/tests/httpd-echo}" \
	 EGRESS_FAULTPROXY="$${EGRESS_FAULTPROXY:-$(CURDIR)/$(BUILD)/tests/faultproxy}" \
	 PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest -q -c tests/e2e/pytest.ini \
	 -n $(E2E_JOBS) --dist loadfile
# Processes that run them, each with servers of its own; 0: all in one, as a debugger wants it.
E2E_JOBS ?= 2

.PHONY: tool-programs
tool-programs: $(TOOL_PROGRAMS)

FUZZ_SECONDS ?= 30
.PHONY: fuzz
fuzz:
	+@$(MAKE) FUZZ=1 $(PARALLEL) fuzz-programs
	@tools/run-fuzz.sh $(FUZZ_SECONDS) $(FUZZ_SOURCES:tests/fuzz/%.c=build/fuzz/%)

.PHONY: fuzz-programs
fuzz-programs: $(FUZZ_PROGRAMS)

.PHONY: layers
layers:
	@tools/check-layers.sh --self-test
	@tools/check-layers.sh

# lint-programs leaves out what the programs are not made of: tests, fuzz targets, benchmarks.
.PHONY: lint lint-programs
lint:
	+@$(MAKE) $(PARALLEL) --keep-going --output-sync=target lint-c lint-texts
lint-programs:
	+@$(MAKE) $(PARALLEL) --keep-going --output-sync=target LINTED=programs lint-c lint-texts

LINT_SOURCES = $(if $(LINTED),$(filter src/% sim/%,$(SOURCES)),$(SOURCES))
.PHONY: lint-c
lint-c: $(LINT_SOURCES:%.c=$(BUILD)/tidy/%.ok) lint-cppcheck

# After the object, whose dependency file names the headers that a new look is due for.
$(BUILD)/tidy/%.ok: %.c $(BUILD)/obj/%.o .clang-tidy tools/analyzer.h
	@mkdir -p $(@D)
	@echo clang-tidy $<
	@clang-tidy --quiet --warnings-as-errors='*' $< -- $(CPPFLAGS) $(pkg_cflags) -std=c11 \
	 $(if $(filter src/core/err.c,$<),,-include tools/analyzer.h) 2>$@.log || \
	 { grep -v 'warnings\? generated' $@.log; exit 1; }
	@touch $@

# ctuuninitvar takes out parameters that a function in another file fills for uninitialised reads.
.PHONY: lint-cppcheck
lint-cppcheck:
	@echo cppcheck
	@mkdir -p $(BUILD)/cppcheck
	@cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
	 --error-exitcode=1 --cppcheck-build-dir=$(BUILD)/cppcheck -j2 --suppress=ctuuninitvar \
	 $(filter-out -include src/core/banned.h,$(CPPFLAGS)) $(LINT_SOURCES)

.PHONY: lint-texts
lint-texts:
	@echo shellcheck, mandoc, python
	@shellcheck tools/*.sh .ci/run
	@for page in $(wildcard docs/*.[1-9]); do mandoc -T lint -W warning $$page || exit 1; done
	@$(PYTHON) -c 'import sys; [compile(open(f).read(), f, "exec") for f in sys.argv[1:]]' \
	 $(wildcard tests/e2e/*.py bench/*.py tools/*.py)

.PHONY: format
format:
	clang-format -i $(wildcard src/*.c src/*/*.[ch] sim/*.[ch] tests/unit/*/*.[ch] \
	 tests/tools/*.c tests/faultproxy/*.[ch] tests/fuzz/*.c bench/*.c bench/*/*.[ch])

# ---- installing ------------------------------------------------------------------------------

BIN_DIR = $(DESTDIR)$(PREFIX)/bin
MAN_DIR = $(DESTDIR)$(PREFIX)/share/man/man1
DOC_DIR = $(DESTDIR)$(PREFIX)/share/doc/egress
UNIT_DIR = $(DESTDIR)$(PREFIX)/lib/systemd/system
SYSUSERS_DIR = $(DESTDIR)$(PREFIX)/lib/sysusers.d

.PHONY: install
install: all
	install -d $(BIN_DIR) $(MAN_DIR) $(DOC_DIR) $(UNIT_DIR) $(SYSUSERS_DIR)
	install -m 755 $(BUILD)/egress $(BIN_DIR)/egress
	install -m 644 docs/egress.1 $(MAN_DIR)/egress.1
	install -m 644 LICENSE systemd/egress.env $(DOC_DIR)
	install -m 644 systemd/egress.service systemd/egress.socket $(UNIT_DIR)
	sed -i 's|/usr/local/bin/|$(PREFIX)/bin/|' $(UNIT_DIR)/egress.service
	install -m 644 systemd/egress.sysusers $(SYSUSERS_DIR)/egress.conf

.PHONY: uninstall
uninstall:
	rm -f $(BIN_DIR)/egress $(MAN_DIR)/egress.1 $(DOC_DIR)/LICENSE $(DOC_DIR)/egress.env \
	 $(UNIT_DIR)/egress.service $(UNIT_DIR)/egress.socket $(SYSUSERS_DIR)/egress.conf
	-rmdir $(DOC_DIR)

.PHONY: clean
clean:
	rm -rf build
