/* files: see files.h. */
#include "model/files_in.h"

#include <assert.h>

static bool peek(model_header *h, const char *path, peek_how how, arena *a, err *e)
{
    assert(h && path && a);
    *h = (model_header){.licence = ""};
    h->path = arena_copy_text(a, path, strlen(path), e);
    if (!h->path) return false;
    bool ok;
    if (file_is_folder(path)) {
        ok = files_read_folder(h, how, a, e);
    } else if (str_ends(str_of(path), ".safetensors") || str_ends(str_of(path), ".json")) {
        ok =
            err_set(e, ERR_MODEL, "%s is one file of a model folder; give the folder itself", path);
    } else {
        ok = files_read_gguf(h, how, a, e);
    }
    if (!ok) model_close_header(h);
    return ok;
}

bool model_peek(model_header *h, const char *path, arena *a, err *e)
{
    return peek(h, path, (peek_how){.tokenizer = true}, a, e);
}

bool model_peek_without_tokenizer(model_header *h, const char *path, arena *a, err *e)
{
    return peek(h, path, (peek_how){0}, a, e);
}

bool model_peek_sizes(model_header *h, const char *path, bool with_tokenizer, arena *a, err *e)
{
    return peek(h, path, (peek_how){.tokenizer = with_tokenizer, .sizes_only = true}, a, e);
}

void model_close_header(model_header *h)
{
    assert(h);
    if (h->tokens) token_close(h->tokens);
    for (int32_t i = 0; i < h->n_file; i++) file_map_close(&h->file[i]);
    h->tokens = NULL;
    h->n_file = h->n_tensor = 0;
}

hash_text model_hash_file(const model_header *h, int32_t file)
{
    assert(h && file >= 0 && file < h->n_file);
    enum { PIECE = 8 << 20 };
    const file_map *m = &h->file[file];
    hash_state s;
    hash_start(&s);
    for (size_t at = 0; at < m->size; at += PIECE) {
        size_t n = m->size - at < PIECE ? m->size - at : PIECE;
        hash_add(&s, m->data + at, n);
    }
    return hash_finish(&s);
}
