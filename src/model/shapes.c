/* shapes: see shapes.h.
 *
 * Sizes: config.json of each publisher's repository. Parameters: the total that the same repository
 * states for its safetensors files (Hugging Face shows it as "Model size"); Llama 1: Touvron et al.
 * 2023, table 2 (6.7, 13.0, 32.5, 65.2 billion), exact in keras-hub's and transformers' listings of
 * the converted weights. MedAlpaca is Llama 1 fine-tuned whole, with its vocabulary; Meditron is
 * Llama 2 with 17 rows added to the vocabulary. MedGemma: keras-hub's preset tables.
 *
 * Gemma 3 from 4B on sees: SigLIP so400m (27 layers of 1152, patches of 14, 896 pixels) has
 * 416,866,032 parameters, the projector 1152 x width + 1152.
 *
 * Left out: Phi-4-mini, whose rotary part of a head this program does not compute. */
#include "model/shapes.h"

#include "model/files_in.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>

static const shape table[] = {
    /* name, series, title, family, layers, width, ff, heads, kv, head, vocab, context, tied,
     * parameters, eyes */
    {"7b-llama", "Llama 1", "Llama 7B", "llama", 32, 4096, 11008, 32, 32, 128, 32000, 2048, false,
     6738415616, 0},
    {"13b-llama", "Llama 1", "Llama 13B", "llama", 40, 5120, 13824, 40, 40, 128, 32000, 2048, false,
     13015864320, 0},
    {"30b-llama", "Llama 1", "Llama 30B", "llama", 60, 6656, 17920, 52, 52, 128, 32000, 2048, false,
     32528943616, 0},
    {"65b-llama", "Llama 1", "Llama 65B", "llama", 80, 8192, 22016, 64, 64, 128, 32000, 2048, false,
     65285660672, 0},
    {"7b-medalpaca", "MedAlpaca", "MedAlpaca 7B", "llama", 32, 4096, 11008, 32, 32, 128, 32000,
     2048, false, 6738415616, 0},
    {"13b-medalpaca", "MedAlpaca", "MedAlpaca 13B", "llama", 40, 5120, 13824, 40, 40, 128, 32000,
     2048, false, 13015864320, 0},
    {"7b-llama2", "Llama 2", "Llama 2 7B", "llama", 32, 4096, 11008, 32, 32, 128, 32000, 4096,
     false, 6738415616, 0},
    {"13b-llama2", "Llama 2", "Llama 2 13B", "llama", 40, 5120, 13824, 40, 40, 128, 32000, 4096,
     false, 13015864320, 0},
    {"70b-llama2", "Llama 2", "Llama 2 70B", "llama", 80, 8192, 28672, 64, 8, 128, 32000, 4096,
     false, 68976648192, 0},
    {"7b-meditron", "Meditron", "Meditron 7B", "llama", 32, 4096, 11008, 32, 32, 128, 32017, 2048,
     false, 6738554880, 0},
    {"70b-meditron", "Meditron", "Meditron 70B", "llama", 80, 8192, 28672, 64, 8, 128, 32017, 4096,
     false, 68976926720, 0},
    {"8b-llama3", "Llama 3", "Llama 3 8B", "llama", 32, 4096, 14336, 32, 8, 128, 128256, 8192,
     false, 8030261248, 0},
    {"70b-llama3", "Llama 3", "Llama 3 70B", "llama", 80, 8192, 28672, 64, 8, 128, 128256, 8192,
     false, 70553706496, 0},
    {"1b-llama3.2", "Llama 3.1 to 3.3", "Llama 3.2 1B", "llama", 16, 2048, 8192, 32, 8, 64, 128256,
     131072, true, 1235814400, 0},
    {"3b-llama3.2", "Llama 3.1 to 3.3", "Llama 3.2 3B", "llama", 28, 3072, 8192, 24, 8, 128, 128256,
     131072, true, 3212749824, 0},
    {"8b-llama3.1", "Llama 3.1 to 3.3", "Llama 3.1 8B", "llama", 32, 4096, 14336, 32, 8, 128,
     128256, 131072, false, 8030261248, 0},
    {"70b-llama3.1", "Llama 3.1 to 3.3", "Llama 3.1 70B", "llama", 80, 8192, 28672, 64, 8, 128,
     128256, 131072, false, 70553706496, 0},
    {"70b-llama3.3", "Llama 3.1 to 3.3", "Llama 3.3 70B", "llama", 80, 8192, 28672, 64, 8, 128,
     128256, 131072, false, 70553706496, 0},
    {"405b-llama3.1", "Llama 3.1 to 3.3", "Llama 3.1 405B", "llama", 126, 16384, 53248, 128, 8, 128,
     128256, 131072, false, 405853388800, 0},
    {"2b-gemma", "Gemma 1", "Gemma 2B", "gemma", 18, 2048, 16384, 8, 1, 256, 256000, 8192, true,
     2506172416, 0},
    {"7b-gemma", "Gemma 1", "Gemma 7B", "gemma", 28, 3072, 24576, 16, 16, 256, 256000, 8192, true,
     8537680896, 0},
    {"2b-gemma2", "Gemma 2", "Gemma 2 2B", "gemma2", 26, 2304, 9216, 8, 4, 256, 256000, 8192, true,
     2614341888, 0},
    {"9b-gemma2", "Gemma 2", "Gemma 2 9B", "gemma2", 42, 3584, 14336, 16, 8, 256, 256000, 8192,
     true, 9241705984, 0},
    {"27b-gemma2", "Gemma 2", "Gemma 2 27B", "gemma2", 46, 4608, 36864, 32, 16, 128, 256000, 8192,
     true, 27227128320, 0},
    {"270m-gemma3", "Gemma 3", "Gemma 3 270M", "gemma3_text", 18, 640, 2048, 4, 1, 256, 262144,
     32768, true, 268098176, 0},
    {"1b-gemma3", "Gemma 3", "Gemma 3 1B", "gemma3_text", 26, 1152, 6912, 4, 1, 256, 262144, 32768,
     true, 999885952, 0},
    {"4b-gemma3", "Gemma 3", "Gemma 3 4B", "gemma3_text", 34, 2560, 10240, 8, 4, 256, 262208,
     131072, true, 4300079472, 419816304},
    {"12b-gemma3", "Gemma 3", "Gemma 3 12B", "gemma3_text", 48, 3840, 15360, 16, 8, 256, 262208,
     131072, true, 12187325040, 421290864},
    {"27b-gemma3", "Gemma 3", "Gemma 3 27B", "gemma3_text", 62, 5376, 21504, 32, 16, 128, 262208,
     131072, true, 27432406640, 423060336},
    {"4b-medgemma", "MedGemma", "MedGemma 4B", "gemma3_text", 34, 2560, 10240, 8, 4, 256, 262208,
     131072, true, 4300079472, 419816304},
    {"27b-medgemma", "MedGemma", "MedGemma 27B (text)", "gemma3_text", 62, 5376, 21504, 32, 16, 128,
     262144, 131072, true, 27009002240, 0},
    {"27b-medgemma-it", "MedGemma", "MedGemma 27B (sees)", "gemma3_text", 62, 5376, 21504, 32, 16,
     128, 262208, 131072, true, 27432406640, 423060336},
    {"7b-mistral", "Mistral", "Mistral 7B v0.1", "mistral", 32, 4096, 14336, 32, 8, 128, 32000,
     32768, false, 7241732096, 0},
    {"7b-mistral0.3", "Mistral", "Mistral 7B v0.3", "mistral", 32, 4096, 14336, 32, 8, 128, 32768,
     32768, false, 7248023552, 0},
    {"12b-mistral", "Mistral", "Mistral Nemo 12B", "mistral", 40, 5120, 14336, 32, 8, 128, 131072,
     131072, false, 12247782400, 0},
    {"24b-mistral", "Mistral", "Mistral Small 24B", "mistral", 40, 5120, 32768, 32, 8, 128, 131072,
     32768, false, 23572403200, 0},
    {"0.5b-qwen2.5", "Qwen2.5", "Qwen2.5 0.5B", "qwen2", 24, 896, 4864, 14, 2, 64, 151936, 32768,
     true, 494032768, 0},
    {"1.5b-qwen2.5", "Qwen2.5", "Qwen2.5 1.5B", "qwen2", 28, 1536, 8960, 12, 2, 128, 151936, 32768,
     true, 1543714304, 0},
    {"3b-qwen2.5", "Qwen2.5", "Qwen2.5 3B", "qwen2", 36, 2048, 11008, 16, 2, 128, 151936, 32768,
     true, 3085938688, 0},
    {"7b-qwen2.5", "Qwen2.5", "Qwen2.5 7B", "qwen2", 28, 3584, 18944, 28, 4, 128, 152064, 32768,
     false, 7615616512, 0},
    {"14b-qwen2.5", "Qwen2.5", "Qwen2.5 14B", "qwen2", 48, 5120, 13824, 40, 8, 128, 152064, 32768,
     false, 14770033664, 0},
    {"32b-qwen2.5", "Qwen2.5", "Qwen2.5 32B", "qwen2", 64, 5120, 27648, 40, 8, 128, 152064, 32768,
     false, 32763876352, 0},
    {"72b-qwen2.5", "Qwen2.5", "Qwen2.5 72B", "qwen2", 80, 8192, 29568, 64, 8, 128, 152064, 32768,
     false, 72706203648, 0},
    {"0.6b-qwen3", "Qwen3", "Qwen3 0.6B", "qwen3", 28, 1024, 3072, 16, 8, 128, 151936, 40960, true,
     596049920, 0},
    {"1.7b-qwen3", "Qwen3", "Qwen3 1.7B", "qwen3", 28, 2048, 6144, 16, 8, 128, 151936, 40960, true,
     1720574976, 0},
    {"4b-qwen3", "Qwen3", "Qwen3 4B", "qwen3", 36, 2560, 9728, 32, 8, 128, 151936, 40960, true,
     4022468096, 0},
    {"8b-qwen3", "Qwen3", "Qwen3 8B", "qwen3", 36, 4096, 12288, 32, 8, 128, 151936, 40960, false,
     8190735360, 0},
    {"14b-qwen3", "Qwen3", "Qwen3 14B", "qwen3", 40, 5120, 17408, 40, 8, 128, 151936, 40960, false,
     14768307200, 0},
    {"32b-qwen3", "Qwen3", "Qwen3 32B", "qwen3", 64, 5120, 25600, 64, 8, 128, 151936, 40960, false,
     32762123264, 0},
    {"3.8b-phi3", "Phi", "Phi-3 mini", "phi3", 32, 3072, 8192, 32, 32, 96, 32064, 4096, false,
     3821079552, 0},
    {"3.8b-phi3.5", "Phi", "Phi-3.5 mini", "phi3", 32, 3072, 8192, 32, 32, 96, 32064, 131072, false,
     3821079552, 0},
    {"14b-phi3", "Phi", "Phi-3 medium", "phi3", 40, 5120, 17920, 40, 10, 128, 32064, 131072, false,
     13960238080, 0},
    {"14b-phi4", "Phi", "Phi-4", "phi3", 40, 5120, 17920, 40, 10, 128, 100352, 16384, false,
     14659507200, 0},
    {"135m-smollm2", "SmolLM2", "SmolLM2 135M", "llama", 30, 576, 1536, 9, 3, 64, 49152, 8192, true,
     134515008, 0},
    {"360m-smollm2", "SmolLM2", "SmolLM2 360M", "llama", 32, 960, 2560, 15, 5, 64, 49152, 8192,
     true, 361821120, 0},
    {"1.7b-smollm2", "SmolLM2", "SmolLM2 1.7B", "llama", 24, 2048, 8192, 32, 32, 64, 49152, 8192,
     true, 1711376384, 0},
    {"1.1b-tinyllama", "TinyLlama", "TinyLlama 1.1B", "llama", 22, 2048, 5632, 32, 4, 64, 32000,
     2048, false, 1100048384, 0},
};

const shape *shapes_all(int32_t *n)
{
    assert(n);
    *n = (int32_t)countof(table);
    return table;
}

enum { NAME_MAX_BYTES = 64 };

/* Small letters; "llama2-7b" becomes "7b-llama2". */
static bool normal_name(const char *name, char out[NAME_MAX_BYTES])
{
    size_t n = strlen(name);
    if (n == 0 || n >= NAME_MAX_BYTES) return false;
    for (size_t i = 0; i <= n; i++) out[i] = (char)tolower((unsigned char)name[i]);
    char *dash = strrchr(out, '-');
    bool swapped = dash && !isdigit((unsigned char)out[0]) && isdigit((unsigned char)dash[1]);
    if (!swapped) return true;
    char series[NAME_MAX_BYTES];
    size_t n_series = (size_t)(dash - out), n_size = n - n_series - 1;
    memcpy(series, out, n_series);
    memmove(out, dash + 1, n_size);
    out[n_size] = '-';
    memcpy(out + n_size + 1, series, n_series);
    out[n] = 0;
    return true;
}

const shape *shape_find(const char *name, err *e)
{
    char wanted[NAME_MAX_BYTES];
    const char *names[countof(table)];
    bool fits = normal_name(name, wanted);
    for (size_t i = 0; i < countof(table); i++) {
        if (fits && !strcmp(wanted, table[i].name)) return &table[i];
        names[i] = table[i].name;
    }
    const char *near = fits ? str_nearest(str_of(wanted), names, countof(table)) : NULL;
    err_set(e, ERR_USAGE, "no shape is called '%.60s'%s%s%s; `caseload fit --list` names them",
            name, near ? "; did you mean `" : "", near ? near : "", near ? "`" : "");
    return NULL;
}

const shape *shape_of_config(const model_config *c)
{
    for (size_t i = 0; i < countof(table); i++) {
        const shape *s = &table[i];
        const model_family *f = model_family_by_type(str_of(s->family));
        bool same_family = f == c->family || (c->from_gguf && !strcmp(s->family, "mistral") &&
                                              c->family && !strcmp(c->family->name, "llama"));
        /* A converter may pad the vocabulary or cut its padding. */
        int32_t over = c->n_vocab > s->n_vocab ? c->n_vocab - s->n_vocab : s->n_vocab - c->n_vocab;
        if (same_family && c->n_layer == s->n_layer && c->d_model == s->d_model &&
            c->d_ff == s->d_ff && c->n_head == s->n_head && c->n_head_kv == s->n_head_kv &&
            c->head_dim == s->head_dim && over <= 256 && c->n_context == s->n_context) {
            return s;
        }
    }
    return NULL;
}

const shape *shape_smaller(const shape *s)
{
    const shape *found = NULL;
    for (size_t i = 0; i < countof(table); i++) {
        const shape *t = &table[i];
        if (strcmp(t->series, s->series) != 0 || t->n_parameter >= s->n_parameter) continue;
        if (!found || t->n_parameter > found->n_parameter) found = t;
    }
    return found;
}

bool shape_config(const shape *s, model_config *c, arena *a, err *e)
{
    json_t *root =
        json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b}", "model_type", s->family,
                  "num_hidden_layers", s->n_layer, "hidden_size", s->d_model, "intermediate_size",
                  s->d_ff, "num_attention_heads", s->n_head, "num_key_value_heads", s->n_head_kv,
                  "head_dim", s->head_dim, "vocab_size", s->n_vocab, "max_position_embeddings",
                  s->n_context, "tie_word_embeddings", (int)s->tied);
    if (!root) return err_set(e, ERR_RESOURCE, "no memory for the shape %s", s->name);
    bool ok = config_from_json(c, root, s->name, a, e);
    json_decref(root);
    return ok;
}
