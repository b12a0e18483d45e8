/* expand_in: stored weights to float32 over `vec`, the bits of dtype_to_f32 (block layouts: dtype.c). */

static void expand_f16(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) vec_store(to + i, vec_halves(p + 2 * i));
    if (i < n) dtype_to_f32(DTYPE_F16, to + i, p + 2 * i, n - i);
}

static void expand_bf16(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) vec_store(to + i, vec_bfloats(p + 2 * i));
    if (i < n) dtype_to_f32(DTYPE_BF16, to + i, p + 2 * i, n - i);
}
