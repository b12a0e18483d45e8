/* adapter_convert: see adapter_convert.h. */
#include "model/adapter_convert.h"

#include "model/adapter_files.h"

#include <assert.h>

static const size_t bytes_memory = (size_t)16 << 30; /* address space */

/* Is the stamp in the file's head, in either layout? */
static bool is_stamped(const char *adapter, arena *a, err *e)
{
    enum { HEAD = 1 << 20 };
    buf path = buf_up_to(8192);
    buf_add_text(&path, adapter);
    if (file_is_folder(adapter)) buf_add_text(&path, "/adapter_model.safetensors");
    const str kept = str_keep(a, buf_view(&path), e);
    buf_close(&path);
    file_map m;
    if (!kept.data || !file_map_open(&m, kept.data, ERR_MODEL, e)) return false;
    const str head = {(const char *)m.data, m.size < HEAD ? m.size : HEAD};
    const bool found = str_find(head, STR("contains-patient-derived-data")) >= 0;
    file_map_close(&m);
    return found;
}

static bool write_adapter(const adapter_convert_options *o, const model_header *h, arena *a,
                          buf *report, err *e)
{
    lora l;
    if (!adapter_read(&l, o->adapter, &h->config, a, e)) return false;
    const bool to_gguf = str_ends(str_of(o->out), ".gguf");
    const adapter_about about = {.base = h->name, .patient_derived = is_stamped(o->adapter, a, e)};
    if (e->code != ERR_NONE) return false;
    if (!(to_gguf ? adapter_write_gguf : adapter_write)(&l, o->out, &about, e)) return false;
    buf_printf(report, "wrote %s: adapter of %s, rank %d, alpha %g, %lld numbers, %s\n", o->out,
               h->name, l.config.rank, l.config.alpha, (long long)l.n_value,
               to_gguf ? "GGUF" : "PEFT's layout");
    return true;
}

bool adapter_convert(const adapter_convert_options *o, buf *report, err *e)
{
    assert(o && o->base && o->adapter && o->out && report);
    arena a;
    model_header h = {0};
    if (file_exists(o->out) && !o->force)
        return err_set(e, ERR_USAGE, "%s is there already; --force replaces it", o->out);
    if (!arena_open_up_to(&a, bytes_memory, "the adapter", e)) return false;
    const bool ok =
        model_peek_without_tokenizer(&h, o->base, &a, e) && write_adapter(o, &h, &a, report, e);
    if (h.path) model_close_header(&h);
    arena_close(&a);
    return ok;
}
