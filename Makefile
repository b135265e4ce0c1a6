# egress: the only build file.
#
#   make            builds build/egress and build/egress-sim
#   make demo       installs what is missing, builds, shows the main job end to end (under a minute)
#   make check      build, layer check, linters, unit tests, end-to-end tests, sanitizers
#   make check-all  end-to-end tests under the sanitizers, fuzzing, packaging
#   make bench      measures; see docs/performance.md
#   make install    into $(DESTDIR)$(PREFIX)
#
# Variants, each with a build folder of its own: SAN=address,undefined  SAN=thread  FUZZ=1

MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := all

VERSION := 0.1.0
PREFIX ?= /usr/local
PYTHON ?= /usr/bin/python3
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

ifdef FUZZ
CC := clang
override SAN := address,undefined
BUILD := build/fuzz
else ifdef SAN
BUILD := build/san-$(subst $(empty),,$(subst undefined,ub,$(subst $(comma),-,$(SAN))))
else
BUILD := build
endif
comma := ,

PKG_CONFIG ?= pkg-config
PACKAGES := libcurl jansson expat libcrypto
SIM_PACKAGES := libmicrohttpd

OPT ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wwrite-strings -Wvla -Wno-missing-field-initializers \
            -Wno-format-truncation
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
ifdef SAN
HARDEN := -fPIE
OPT := -O1 -g -fno-omit-frame-pointer
SANITIZE := -fsanitize=$(SAN) -fno-sanitize-recover=all
endif
ifdef FUZZ
SANITIZE += -fsanitize=fuzzer-no-link
endif
ifdef WERROR
WARNINGS += -Werror
endif

CPPFLAGS += -D_POSIX_C_SOURCE=200809L -DEGRESS_VERSION='"$(VERSION)"' -Isrc -I. -include src/core/banned.h
CFLAGS += -std=c11 $(OPT) $(WARNINGS) $(HARDEN) $(SANITIZE)
LDFLAGS += $(SANITIZE) -pie -Wl,-z,relro,-z,now

pkg_cflags = $(shell $(PKG_CONFIG) --cflags $(PACKAGES) $(SIM_PACKAGES) cmocka 2>/dev/null)
pkg_libs = $(shell $(PKG_CONFIG) --libs $(PACKAGES))
sim_libs = $(shell $(PKG_CONFIG) --libs $(PACKAGES) $(SIM_PACKAGES))

LIB_SOURCES := $(filter-out src/main.c,$(wildcard src/*/*.c))
SIM_SOURCES := $(wildcard sim/*.c)
UNIT_SOURCES := $(wildcard tests/unit/*/test_*.c)
UNIT_PROGRAMS := $(UNIT_SOURCES:tests/unit/%.c=$(BUILD)/unit/%)
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_PROGRAMS := $(FUZZ_SOURCES:tests/fuzz/%.c=$(BUILD)/%)
BENCH_SOURCES := $(wildcard bench/*.c)
BENCH_PROGRAMS := $(BENCH_SOURCES:bench/%.c=$(BUILD)/bench/%)

objects = $(1:%.c=$(BUILD)/obj/%.o)
LIB := $(BUILD)/libegress.a

.PHONY: all
all: deps-present $(BUILD)/egress $(BUILD)/egress-sim

.PHONY: deps-present
deps-present:
	@tools/install-deps.sh --check build

$(BUILD)/egress: $(call objects,src/main.c) $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(pkg_libs) -lm -lpthread

$(BUILD)/egress-sim: $(call objects,$(SIM_SOURCES)) $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(sim_libs) -lm -lpthread

$(LIB): $(call objects,$(LIB_SOURCES))
	@rm -f $@
	$(AR) rcs $@ $^

# The flags are part of what an object is made from: a change of them rebuilds.
$(BUILD)/flags: force
	@mkdir -p $(BUILD)
	@echo '$(CC) $(subst ','\'',$(CPPFLAGS) $(CFLAGS) $(LDFLAGS))' | cmp -s - $@ || \
	 echo '$(CC) $(subst ','\'',$(CPPFLAGS) $(CFLAGS) $(LDFLAGS))' > $@
.PHONY: force

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(pkg_cflags) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(pkg_libs) -lcmocka -lm -lpthread

$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(pkg_libs) -lm -lpthread

$(BUILD)/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(LIB)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(pkg_libs) -lm -lpthread

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
.SECONDARY:

# ---- tests -----------------------------------------------------------------------------------

# Runs every unit test program of this variant; each prints cmocka's own closing lines.
.PHONY: unit
unit: $(UNIT_PROGRAMS)
	@tools/run-unit.sh $(UNIT_PROGRAMS)

.PHONY: unit-programs
unit-programs: $(UNIT_PROGRAMS)

.PHONY: fuzz-programs
fuzz-programs: $(FUZZ_PROGRAMS)

.PHONY: bench-programs
bench-programs: $(BENCH_PROGRAMS)

.PHONY: clean
clean:
	rm -rf build
