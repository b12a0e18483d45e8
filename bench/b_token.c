/* Speed of the tokenizers: MB/s of text to ids, and the time to open.
 *
 *     build/bench/b_token [FILE]     FILE: a text to encode besides sentences of our own
 *
 * Takes whatever is there of ../shared/data/tokenizers and models/; one thread.
 */
#include "base/file.h"
#include "model/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void add_english(buf *b, size_t bytes)
{
    static const char *const parts[] = {
        "The patient was admitted with chest pain and shortness of breath. ",
        "She doesn't smoke; she drinks 2-3 glasses of wine a week. ",
        "Hb 9.8 g/dL, CRP 12.3 mg/L, BP 120/80 mmHg.\n",
        "There was no evidence of pneumonia on the chest X-ray, and he was discharged on day 5. ",
        "Past medical history: hypertension, type 2 diabetes, hyperlipidaemia.\n\n",
        "Coronary angiography showed a 70% stenosis of the left anterior descending artery. "};
    for (size_t i = 0; b->size < bytes; i = i * 5 + 3)
        buf_add_text(b, parts[(i >> 4) % countof(parts)]);
}

static void add_korean(buf *b, size_t bytes)
{
    static const char *const parts[] = {"환자는 흉통과 호흡곤란으로 응급실에 내원하였다. ",
                                        "발열이나 오한은 없다고 하였으며 혈압은 120/80이었다.\n",
                                        "관상동맥 조영술에서 좌전하행지의 70% 협착이 확인되었다. "};
    for (size_t i = 0; b->size < bytes; i = i * 5 + 3)
        buf_add_text(b, parts[(i >> 4) % countof(parts)]);
}

static void measure(const tokenizer *t, const char *name, const char *what, str text)
{
    err e = {0};
    double best = 1e9;
    int64_t n = 0;
    for (int round = 0; round < 5; round++) {
        token_list ids = {0};
        double start = now();
        if (!token_encode(t, text, (token_options){0}, &ids, &e)) {
            printf("%s: %s\n", name, e.text);
            return;
        }
        double took = now() - start;
        if (took < best) best = took;
        n = ids.n;
        token_list_close(&ids);
    }
    printf("%-52s %-8s %7.1f MB/s %8.2f M tokens/s %6.2f bytes a token\n", name, what,
           (double)text.size / 1e6 / best, (double)n / 1e6 / best, (double)text.size / (double)n);
}

static void run(const char *path, const buf *texts, const char *const *names, size_t n)
{
    if (!file_exists(path) && !file_is_folder(path)) {
        printf("skip: %s is not here\n", path);
        return;
    }
    arena a;
    err e = {0};
    model_header h = {0};
    if (!arena_open(&a, (size_t)8 << 30, "bench", &e)) return;
    double start = now();
    bool folder = file_is_folder(path);
    tokenizer *t = folder ? token_open_folder(path, &a, &e) : NULL;
    if (!folder && model_peek(&h, path, &a, &e)) t = h.tokens;
    if (!t) printf("%s\n", e.text);
    else printf("%-52s opened in %.0f ms\n", path, 1e3 * (now() - start));
    for (size_t i = 0; t && i < n; i++) measure(t, path, names[i], buf_view(&texts[i]));
    if (folder) token_close(t);
    else if (t) model_close_header(&h);
    arena_close(&a);
}

int main(int argc, char **argv)
{
    static const char *const paths[] = {"../shared/data/tokenizers/llama3",
                                        "../shared/data/tokenizers/qwen2",
                                        "../shared/data/tokenizers/gpt2",
                                        "../shared/data/tokenizers/falcon",
                                        "../shared/data/tokenizers/llama2",
                                        "../shared/data/tokenizers/mistral-v3",
                                        "models/SmolLM2-135M-Instruct.Q4_1.gguf",
                                        "models/gemma-3-270m.Q4_K_M.gguf",
                                        "models/qwen2.5-coder-0.5b-instruct.Q4_K_M.gguf"};
    const char *names[] = {"English", "Korean", "file"};
    buf texts[3] = {buf_up_to(1 << 30), buf_up_to(1 << 30), buf_up_to(1 << 30)};
    add_english(&texts[0], 4 << 20);
    add_korean(&texts[1], 4 << 20);
    file_map m = {0};
    err e = {0};
    if (argc > 1 && !file_map_open(&m, argv[1], ERR_DATA, &e)) {
        printf("%s\n", e.text);
        return 1;
    }
    if (argc > 1) buf_add(&texts[2], m.data, m.size);
    for (size_t i = 0; i < countof(paths); i++) run(paths[i], texts, names, argc > 1 ? 3 : 2);
    for (size_t i = 0; i < countof(texts); i++) buf_close(&texts[i]);
    if (argc > 1) file_map_close(&m);
    return 0;
}
