# What CUDA=1 adds to the build: the host's C of src/compute/cuda with the same warnings as the rest,
# and the kernels by nvcc for each card of CUDA_ARCHS. CUDA_HOME: where CUDA is.
.DEFAULT_GOAL := all
CUDA_HOME  ?= /usr/local/cuda
NVCC       ?= $(CUDA_HOME)/bin/nvcc
CUDA_ARCHS ?= 80 86 89 90
NVCC_ARCHS  = $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a))
NVCCFLAGS  += -O3 -std=c++17 -Isrc $(NVCC_ARCHS) -Xcompiler -Wall,-Wextra
CFLAGS     += -isystem $(CUDA_HOME)/include
LDLIBS     += -L$(CUDA_HOME)/lib64 -Wl,-rpath,$(CUDA_HOME)/lib64 -lcublasLt -lcudart -lstdc++
# NCCL carries gradients between GPUs where it is found; NCCL=0 leaves it out (by the driver's copies then).
NCCL       ?= $(if $(wildcard $(CUDA_HOME)/include/nccl.h /usr/include/nccl.h),1,0)
ifeq ($(NCCL),1)
SRC        += src/compute/comm_nccl.c
LDLIBS     += -lnccl
else
SRC        += src/compute/comm_none.c
endif
KERNELS    := $(sort $(wildcard src/compute/cuda/*.cu))
SRC        += $(filter-out %/none.c,$(sort $(wildcard src/compute/cuda/*.c)))
CUDA_OBJ    = $(KERNELS:%.cu=$(BUILD)/%.cu.o)
# Hopper's own instructions: taken at run time where the card has them, whatever CUDA_ARCHS.
$(BUILD)/src/compute/cuda/hopper_%.o: NVCC_ARCHS = -gencode arch=compute_90a,code=sm_90a
GPU_BENCHES = $(patsubst bench/%.c,$(BUILD)/bench/%,$(sort $(wildcard bench/gpu/b_*.c)))
GPU_TESTS   = $(patsubst tests/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/gpu_*.c)))

$(BUILD)/%.cu.o: %.cu $(addprefix src/compute/cuda/,kernels.h kernels_decode.h lanes_in.h tiles_in.h best_in.h kernels_adapter.h kernels_fused.h ring_in.h \
                      gates_in.h kernels_train.h soften_in.h back_in.h hopper_in.h)
	@mkdir -p $(@D)
	@echo "  NVCC $<"
	$(V)$(NVCC) $(NVCCFLAGS) -c -o $@ $<

# Kernels against ref; then the tiny models of every family and their training, on every device here;
# then several ranks on one GPU, and on all, also killed and interrupted.
.PHONY: gpu-test gpu-bench
gpu-test: all $(GPU_TESTS) $(addprefix $(BUILD)/tests/,t_golden t_lora t_decode t_ranks)
	@for t in $(GPU_TESTS) $(BUILD)/tests/t_golden $(BUILD)/tests/t_lora; do $$t || exit 1; done
	@for d in cuda cuda:fp32; do $(BUILD)/tests/t_decode $$d || exit 1; done
	@for d in cuda cuda:all; do $(BUILD)/tests/t_ranks $$d || exit 1; done
	@for d in "cuda --ranks 2" cuda:all; do CASELOAD=$(BUILD)/caseload BUILD=$(BUILD) EPOCHS=40 ONE="--device cuda" SEVERAL="--device $$d" \
	  sh tests/cli/ranks_stop.sh || exit 1; done
gpu-bench: $(GPU_BENCHES)
$(GPU_BENCHES): $(BUILD)/bench/gpu/profile.o

-include $(GPU_TESTS:=.d) $(GPU_BENCHES:=.d) $(BUILD)/bench/gpu/profile.d
