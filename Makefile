# caseload: make | test | check | asan | tsan | fuzz | tidy | bench | install    CC=gcc|clang
# Every src/**/*.c, cli/*.c, tests/t_*.c, fuzz/f_*.c and bench/b_*.c is found by itself.
CC      ?= gcc
BUILD   ?= build
V       ?= @
PREFIX  ?= /usr/local
PKGS     = yaml-0.1 jansson sqlite3 libpcre2-8 libutf8proc libsodium cairo pangocairo libpng zlib xlsxwriter
SHADOW   = $(if $(findstring clang,$(CC)),-Wshadow,-Wshadow=local)
WARN     = -Wall -Wextra -Werror $(SHADOW) -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
           -Wvla -Wwrite-strings -Wformat=2 -Wundef -Wcast-qual
OPT     ?= -O2 -g
CFLAGS  += -std=c17 -D_GNU_SOURCE $(OPT) $(WARN) -pthread -ffp-contract=off -fno-math-errno \
           $(shell pkg-config --cflags $(PKGS)) -Isrc -Iinclude
LDLIBS  += $(shell pkg-config --libs $(PKGS)) -lm -pthread

# CUDA=1: GPUs (src/compute/cuda). Without it one file stands there that refuses them in words.
CUDA    ?= 0
SRC     := $(shell find src -name '*.c' -not -path 'src/compute/cuda/*' -not -name comm_nccl.c \
                    -not -name comm_none.c | LC_ALL=C sort)
ifeq ($(CUDA),1)
include src/compute/cuda/build.mk
else
SRC     += src/compute/cuda/none.c src/compute/cuda/space.c src/compute/comm_none.c
endif
CLI     := $(wildcard cli/*.c)
TESTS   := $(patsubst tests/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/t_*.c)))
FUZZERS := $(patsubst fuzz/%.c,$(BUILD)/fuzz/%,$(sort $(wildcard fuzz/f_*.c)))
BENCHES := $(patsubst bench/%.c,$(BUILD)/bench/%,$(sort $(wildcard bench/b_*.c bench/kernels/b_*.c)))
LIB      = $(BUILD)/libcaseload.a
OBJ     := $(SRC:%.c=$(BUILD)/%.o) $(CUDA_OBJ)

# Instruction sets are per file, by its name's ending; the choice is made at run time.
# Under sanitizers these units keep ASan and UBSan's checks of arithmetic; UBSan's checks of pointers, which
# ASan makes of each access, go, and so do variables in the debugger: minutes and 800 MB become 15 s and 480.
ifneq ($(findstring -fsanitize,$(OPT)),)
LIGHT = -g1 -fno-sanitize=null,alignment,object-size,pointer-overflow
endif
%_avx2.o:   ISA = -mavx2 -mfma -mf16c -mprfchw $(LIGHT)
%_vnni.o:   ISA = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c -mprfchw $(LIGHT)
%_avx512.o: ISA = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprfchw $(LIGHT)

.PHONY: fuzzers fuzz-build fuzz-replay all test check asan tsan fuzz tidy bench install clean tests
all: $(BUILD)/caseload
tests: $(TESTS)

$(BUILD)/caseload: $(CLI:%.c=$(BUILD)/%.o) $(LIB)
	$(V)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(LIB): $(OBJ)
	@rm -f $@
	$(V)$(AR) qcs $@ $^
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(V)$(CC) $(CFLAGS) $(ISA) -MMD -MP -c -o $@ $<
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(LIB)
	$(V)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)
$(BUILD)/bench/%: $(BUILD)/bench/%.o $(LIB)
	$(V)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/fuzz/%: $(BUILD)/fuzz/%.o $(FUZZMAIN) $(LIB)
	$(V)$(CC) $(CFLAGS) $(LDFLAGS) $(FUZZLINK) -o $@ $^ $(LDLIBS)

# Benches are programs of their own; bench/run_prefill puts one beside its peer.
bench: $(BENCHES)

# Each test is a program; its exit status is its verdict. Models and shared data are optional: a test that
# needs one that is absent says so and is counted as skipped.
test: all tests $(BUILD)/tools/tidy
	@tools/run_tests $(BUILD)

asan: export LSAN_OPTIONS = suppressions=$(CURDIR)/tools/lsan.supp:print_suppressions=0
asan:
	$(MAKE) BUILD=build-asan OPT="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all" test
tsan: export TSAN_OPTIONS = suppressions=$(CURDIR)/tools/tsan.supp
tsan:
	$(MAKE) BUILD=build-tsan OPT="-O1 -g -fsanitize=thread" build-tsan/tests/t_base build-tsan/tests/t_ranks
	build-tsan/tests/t_base
	build-tsan/tests/t_ranks

# Fuzzers: libFuzzer with clang; where that is absent, gcc and a driver that only replays the corpus.
# `make fuzz` replays each corpus and then runs FUZZ_SECONDS a target; `make fuzz-replay` only replays.
FUZZ_SECONDS ?= 10
FUZZ_SAN      = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
fuzz: fuzz-build
	@tools/run_fuzz build-fuzz $(FUZZ_SECONDS)
fuzz-replay: fuzz-build
	@tools/run_fuzz build-fuzz 0
fuzz-build:
	@if echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | \
	    clang -fsanitize=fuzzer -x c -o /dev/null - 2>/dev/null; then \
	    $(MAKE) CC=clang BUILD=build-fuzz FUZZLINK=-fsanitize=fuzzer \
	        OPT="$(FUZZ_SAN) -fsanitize=fuzzer-no-link" fuzzers; \
	else \
	    echo "libFuzzer is absent: the corpora are replayed, no new inputs are made"; \
	    $(MAKE) CC=gcc BUILD=build-fuzz FUZZMAIN=build-fuzz/tools/fuzz_main.o \
	        OPT="$(FUZZ_SAN)" fuzzers; \
	fi
fuzzers: $(FUZZERS)

# Style is a program: tools/tidy.c checks what STYLE.md says.
$(BUILD)/tools/tidy: tools/tidy.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(V)$(CC) -std=c17 -D_GNU_SOURCE $(OPT) $(WARN) -o $@ $<
tidy: $(BUILD)/tools/tidy
	@$(BUILD)/tools/tidy

check: test tidy bench asan fuzz-replay

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(BUILD)/caseload $(DESTDIR)$(PREFIX)/bin/caseload
	install -m 644 docs/caseload.1 $(DESTDIR)$(PREFIX)/share/man/man1/caseload.1

clean:
	rm -rf build build-*

-include $(patsubst %.o,%.d,$(OBJ)) $(CLI:%.c=$(BUILD)/%.d) $(TESTS:=.d) $(FUZZERS:=.d) $(BENCHES:=.d)
.SECONDARY:
