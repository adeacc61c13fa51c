# fanoutd: many fetches, one answer.
#
#   make run     install what is missing, build, and start on upstreams.conf
#   make test    install what the tests need, build, run every test
#   make help    the other targets      (V=1 shows every command)

CC        = cc
PREFIX    = /usr/local
DESTDIR   =
BUILD     = build
CONF      = upstreams.conf
VERSION   = 0.1.0
V         =
Q         = $(if $(V),,@)

# What the program needs, and what its tests and checks need besides (Debian packages).
DEPS      = gcc libc6-dev libcurl4-openssl-dev libevent-dev libc-ares-dev libcjson-dev libconfuse-dev \
            libjemalloc-dev zlib1g-dev
TEST_DEPS = libcmocka-dev libyajl-dev libjansson-dev python3-pytest nginx-light dnsmasq-base curl \
            python3-httpbin python3-gunicorn python3-httpx openssl procps
LINT_DEPS = clang clang-tidy clang-format cppcheck
# Its libFuzzer and sanitizers, of whatever version clang is once it is there.
FUZZ_DEPS = libclang-rt-$$(clang -dumpversion | cut -d. -f1)-dev
SOAK_DEPS = python3 openssl
# Load and upstreams; and the peers that Debian has, a Python for the newest ones, what draws.
BENCH_DEPS = python3 nginx-light wrk
PEER_DEPS  = libnginx-mod-http-lua lua-cjson python3-venv python3-fastapi uvicorn python3-httpx \
             python3-aiohttp python3-uvloop python3-httptools python3-matplotlib
INSTR_DEPS = valgrind python3

WARNINGS  = -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes \
            -Wformat=2 -Wundef -Werror
HARDENING = -fstack-protector-strong -fstack-clash-protection -fPIE -D_FORTIFY_SOURCE=2 \
            $(BRANCHES_$(shell uname -m))
BRANCHES_x86_64  = -fcf-protection
BRANCHES_aarch64 = -mbranch-protection=standard
OPTIMISE  = -O2 -g $(LTO)
# Across files, for the program; fat, as the tests are linked without, which is much quicker.
LTO       = $(if $(findstring clang,$(CC)),,-flto=auto -ffat-lto-objects)
SANITIZE  =
CFLAGS    = -std=c11 -D_GNU_SOURCE -pthread -I. $(WARNINGS) $(OPTIMISE) $(HARDENING) $(SANITIZE)
CPPFLAGS  = -DFANOUTD_VERSION='"$(VERSION)"'
LDFLAGS   = -pie -Wl,-z,relro,-z,now,-z,noexecstack -pthread $(SANITIZE)

ENGINE_LIBS  = -lcurl -lcares -levent_core -lz
SERVICE_LIBS = -levent_extra -lconfuse -lcjson
# For its malloc alone, which the linker might take for unneeded; sanitizers have their own.
ALLOCATOR    = $(if $(SANITIZE),,-Wl,--no-as-needed -ljemalloc)

ENGINE_OBJS  = $(patsubst %.c,$(BUILD)/%.o,$(wildcard fanout/*.c))
SERVICE_OBJS = $(patsubst %.c,$(BUILD)/%.o,$(wildcard service/*.c))
UNIT_TESTS   = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
SOURCES      = $(wildcard fanout/*.[ch] service/*.[ch] tests/unit/*.[ch] tests/fuzz/*.[ch] \
                 tests/bench/*.[ch])

.DEFAULT_GOAL = all
.PHONY: all help run test unit unit-tests system asan tsan fuzz fuzzers soak lint format layers size \
        bench bench-deps bench-instr bench-tail deps test-deps lint-deps install clean

all: $(BUILD)/fanoutd ## build build/fanoutd (release, hardened)

$(BUILD)/fanoutd: $(SERVICE_OBJS) $(BUILD)/libfanout.a
	@echo "  LD      $@"
	$(Q)$(CC) $(OPTIMISE) $(LDFLAGS) -o $@ $^ $(SERVICE_LIBS) $(ENGINE_LIBS) $(ALLOCATOR)

$(BUILD)/libfanout.a: $(ENGINE_OBJS)
	@echo "  AR      $@"
	$(Q)$(AR) rcs $@ $^

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# A unit test is linked with the engine and with every part of the service but its main().
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(filter-out %/main.o,$(SERVICE_OBJS)) $(BUILD)/libfanout.a
	@echo "  LD      $@"
	$(Q)$(CC) -fno-lto $(LDFLAGS) -o $@ $^ $(SERVICE_LIBS) $(ENGINE_LIBS) -lcmocka -lyajl -ljansson

.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# ---- trying it ----

run: deps ## install what is missing, build, and start on upstreams.conf
	@$(MAKE) --no-print-directory all
	@echo
	@echo "fanoutd starts now, with demo upstreams of its own. In another terminal, try:"
	@echo
	@echo "    curl -s http://127.0.0.1:8080/fetch-multiple"
	@echo "    curl -s 'http://127.0.0.1:8080/fetch-multiple?upstreams=users,weather&shape=map'"
	@echo
	@echo "Put your own upstreams into $(CONF). Ctrl-C ends it."
	@echo
	@exec $(BUILD)/fanoutd -c $(CONF)

# ---- tests ----

test: deps test-deps ## install what the tests need, build, and run every test
	@$(MAKE) --no-print-directory all unit-tests
	@tests/run.sh $(BUILD)

unit-tests: $(UNIT_TESTS)

unit: unit-tests ## the unit tests alone
	@tests/run.sh $(BUILD) unit

system: all ## the system tests alone
	@tests/run.sh $(BUILD) system

# Fortify and the sanitizers do not mix.
asan: ## every test under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) --no-print-directory BUILD=build/asan OPTIMISE='-O1 -g -fno-omit-frame-pointer' \
	    HARDENING='-fPIE' SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all' \
	    all unit-tests
	@ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 tests/run.sh build/asan

tsan: ## every test under ThreadSanitizer
	@$(MAKE) --no-print-directory BUILD=build/tsan OPTIMISE='-O1 -g -fno-omit-frame-pointer' \
	    HARDENING='-fPIE' SANITIZE='-fsanitize=thread' all unit-tests
	@TSAN_OPTIONS=halt_on_error=0:suppressions=$(CURDIR)/tests/tsan.supp tests/run.sh build/tsan

FUZZ_SECONDS = 30
FUZZERS      = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))

fuzz: deps ## each fuzzer for FUZZ_SECONDS (30); what breaks goes to build/fuzz/findings
	$(call install_missing,clang)
	$(call install_missing,$(FUZZ_DEPS))
	@$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang OPTIMISE='-O1 -g -fno-omit-frame-pointer' \
	    HARDENING='-fPIE' \
	    SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all' fuzzers
	@tests/fuzz/run.sh build/fuzz $(FUZZ_SECONDS)

fuzzers: $(FUZZERS)

$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(filter-out %/main.o,$(SERVICE_OBJS)) $(BUILD)/libfanout.a
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(SERVICE_LIBS) $(ENGINE_LIBS)

SOAK_SECONDS = 120

soak: all ## everything at once for SOAK_SECONDS (120): answers, memory, descriptors
	$(call install_missing,$(SOAK_DEPS))
	@/usr/bin/python3 tests/soak/soak.py --seconds $(SOAK_SECONDS)

BENCH =

bench: all ## beside a floor and other services, in one run; BENCH='--full', '--only n10 --against go'
	$(call install_missing,$(BENCH_DEPS))
	@FANOUTD=$(BUILD)/fanoutd /usr/bin/python3 -B tests/bench/compare.py $(BENCH)

# Go and Node.js services take part where there are a Go toolchain and npm; KrakenD where it is
# installed already.
bench-deps: ## bring the services that bench compares with: Debian's, and pip's, npm's, Go's
	$(call install_missing,$(BENCH_DEPS) $(PEER_DEPS))
	@tests/bench/peers/install.sh

# SHOW=1: which functions; UPDATE=1: make the figures the budget
bench-instr: all ## instructions of a fetch and of a request; fails 5 % over their budget
	$(call install_missing,$(INSTR_DEPS))
	@FANOUTD=$(BUILD)/fanoutd /usr/bin/python3 -B tests/bench/instructions.py \
	    $(if $(SHOW),--show) $(if $(UPDATE),--update)

bench-tail: all ## under late, failing, hanging upstreams and overload; BENCH='--only overload'
	$(call install_missing,python3)
	@FANOUTD=$(BUILD)/fanoutd /usr/bin/python3 -B tests/bench/tail.py $(BENCH)

# ---- checks ----

# Its macros are the one thing of the system's that cppcheck can't do without.
QUEUE_H = $(firstword $(wildcard /usr/include/*/sys/queue.h /usr/include/sys/queue.h))

lint: lint-deps layers ## formatting, clang-tidy, cppcheck, a build with clang
	@echo "  clang-format, clang-tidy, cppcheck, and a build with clang"
	$(Q)clang-format --dry-run -Werror $(SOURCES)
	$(Q)clang-tidy --quiet $(wildcard fanout/*.c service/*.c) -- $(CPPFLAGS) -std=c11 -D_GNU_SOURCE -I. 2>/dev/null
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
	    --inline-suppr --suppress=missingIncludeSystem --include=$(QUEUE_H) $(CPPFLAGS) -D_GNU_SOURCE -I. fanout service
	@$(MAKE) --no-print-directory BUILD=build/clang CC=clang all

layers: ## dependencies point down only
	@tests/layers.sh

format: ## format every source
	clang-format -i $(SOURCES)

size: all ## lines of each part, and the size of the program
	@for part in fanout service tests; do \
	    printf '%-8s %6d lines\n' $$part $$(find $$part -name '*.[ch]' -o -name '*.py' -o -name '*.sh' | xargs cat | wc -l); \
	done
	@strip -o $(BUILD)/fanoutd.stripped $(BUILD)/fanoutd
	@printf '%-8s %6d KiB, stripped\n' fanoutd $$(( $$(stat -c %s $(BUILD)/fanoutd.stripped) / 1024 ))

# ---- what has to be there ----

SUDO = $(if $(filter 0,$(shell id -u)),,sudo)
define install_missing
	@for package in $(1); do \
	    dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	    echo "installing:$$missing"; \
	    $(SUDO) apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
endef

deps: ## install what the program needs (Debian packages)
	$(call install_missing,$(DEPS))

test-deps: ## install what the tests need
	$(call install_missing,$(TEST_DEPS))

lint-deps: ## install what lint needs
	$(call install_missing,$(LINT_DEPS))

# ---- the rest ----

install: all ## install into $(DESTDIR)$(PREFIX)
	install -D -m 755 $(BUILD)/fanoutd $(DESTDIR)$(PREFIX)/bin/fanoutd
	install -D -m 644 upstreams.conf $(DESTDIR)$(PREFIX)/share/doc/fanoutd/upstreams.conf

clean: ## remove what was built
	rm -rf build

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
