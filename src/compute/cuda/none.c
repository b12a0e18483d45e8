/* cuda in a program built without it: no card, and an error that says so. */
#include "compute/cuda/cuda.h"

int32_t cuda_count(void) { return 0; }

bool cuda_describe(int32_t card, cuda_card *about, err *e)
{
    *about = (cuda_card){0};
    return err_set(e, ERR_RESOURCE,
                   "this program was built without CUDA and cannot use GPU %d; build it with "
                   "`make CUDA=1`",
                   card);
}

int32_t cuda_card_of(const backend *b)
{
    (void)b;
    return -1;
}

struct CUstream_st *cuda_stream_of(const backend *b)
{
    (void)b;
    return NULL;
}

bool cuda_is_done(backend *b)
{
    (void)b;
    return true;
}

bool cuda_reaches(int32_t card, int32_t other)
{
    (void)card, (void)other;
    return false;
}

bool cuda_open(backend *b, const char *device, err *e)
{
    (void)b;
    return err_set(e, ERR_RESOURCE,
                   "this program was built without CUDA and cannot run device \"%s\"; build it "
                   "with `make CUDA=1`, or try --device cpu",
                   device);
}
