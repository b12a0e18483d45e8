/* rope: see rope.h. */
#include "model/rope.h"

#include <assert.h>
#include <math.h>

static float plain_frequency(const rope_config *r, int32_t i, int32_t rotary_dim)
{
    float exponent = (float)(2 * i) / (float)rotary_dim;
    float power = (float)pow(r->base, (double)exponent);
    return 1.0f / power;
}

/* Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, those between blended. */
static float llama3_frequency(const rope_config *r, float frequency)
{
    const double two_pi = 6.283185307179586476925;
    float wavelength = (float)(two_pi / (double)frequency);
    double longest = (double)r->original_context / r->low_freq_factor;
    double shortest = (double)r->original_context / r->high_freq_factor;
    if ((double)wavelength < shortest) return frequency;
    if ((double)wavelength > longest) return (float)((double)frequency / r->factor);
    double blend = ((double)r->original_context / (double)wavelength - r->low_freq_factor) /
                   (r->high_freq_factor - r->low_freq_factor);
    return (float)((1.0 - blend) * (double)frequency / r->factor + blend * (double)frequency);
}

static float scaled_frequency(const rope_config *r, int32_t i, int32_t rotary_dim,
                              const float *factors)
{
    float f = plain_frequency(r, i, rotary_dim);
    switch (r->scaling) {
    case ROPE_SCALE_NONE: return f;
    case ROPE_SCALE_LINEAR: return (float)((double)f / r->factor);
    case ROPE_SCALE_LLAMA3: return llama3_frequency(r, f);
    case ROPE_SCALE_FACTORS: {
        if (!factors) return f;
        float exponent = (float)(2 * i) / (float)rotary_dim;
        return 1.0f / (factors[i] * (float)pow(r->base, (double)exponent));
    }
    }
    assert(false);
    return f;
}

void rope_llama3_factors(float *out, const rope_config *r, int32_t rotary_dim)
{
    for (int32_t i = 0; i < rotary_dim / 2; i++) {
        const float plain = plain_frequency(r, i, rotary_dim);
        out[i] = plain / llama3_frequency(r, plain);
    }
}

void rope_fill_table(float *table, const rope_config *r, int32_t rotary_dim, int32_t positions,
                     int32_t n_context)
{
    assert(rotary_dim > 0 && rotary_dim % 2 == 0 && positions >= 0);
    const float *factors = r->short_factor;
    if (r->long_factor && n_context > r->original_context) factors = r->long_factor;
    double scale = r->attention_factor > 0 ? r->attention_factor : 1.0;
    int32_t half = rotary_dim / 2;
    for (int32_t i = 0; i < half; i++) {
        float f = scaled_frequency(r, i, rotary_dim, factors);
        for (int32_t p = 0; p < positions; p++) {
            float angle = (float)p * f;
            table[(int64_t)p * rotary_dim + i] = (float)(cos((double)angle) * scale);
            table[(int64_t)p * rotary_dim + half + i] = (float)(sin((double)angle) * scale);
        }
    }
}
