/* convert_folder: a Hugging Face folder: one safetensors file, written piece by piece at the place
 * that its header gives, and the small files beside it. Widest numbers stand first, so that each
 * starts at a multiple of its width. A packed matrix is made whole in memory: its outer scales need
 * all of it. */
#include "model/convert_in.h"

#include <assert.h>
#include <inttypes.h>

enum { PIECES_MAX = 6, TASK_BLOCKS = 64 };

typedef struct folder_out {
    convert_plan *p;
    convert_piece *piece; /* [n_item, PIECES_MAX]; name NULL: none */
    int64_t start;        /* of the data */
    FILE *file;
    err *e;
} folder_out;

/* ---- what is written ---- */

static convert_piece piece_of(const char *name, dtype type, int32_t rank, int64_t a, int64_t b)
{
    convert_piece x = {.name = name, .type = type, .rank = rank, .dim = {a, b, 1, 1}};
    x.bytes = dtype_get(type)->block_bytes * (rank > 0 ? a : 1) * (rank > 1 ? b : 1);
    return x;
}

/* `name` without its last `drop` bytes, and `tail`. */
static const char *beside(folder_out *f, const char *name, size_t drop, const char *tail)
{
    buf b = buf_up_to(1 << 16);
    buf_add(&b, name, strlen(name) - drop);
    buf_add_text(&b, tail);
    const str kept = str_keep(&f->p->memory, buf_view(&b), f->e);
    buf_close(&b);
    return kept.data ? kept.data : "";
}

static void list_nf4(folder_out *f, convert_piece *out, const convert_item *item)
{
    const char *n = item->name;
    const int64_t values = tensor_count(&item->from);
    const int64_t blocks = (values + PACKED_BLOCK - 1) / PACKED_BLOCK;
    const int64_t outer = (blocks + PACKED_NESTED - 1) / PACKED_NESTED;
    out[0] = piece_of(n, DTYPE_U8, 2, values / 2, 1);
    out[1] = piece_of(beside(f, n, 0, ".absmax"), DTYPE_U8, 1, blocks, 1);
    out[2] = piece_of(beside(f, n, 0, ".quant_map"), DTYPE_F32, 1, 16, 1);
    out[3] = piece_of(beside(f, n, 0, ".nested_absmax"), DTYPE_F32, 1, outer, 1);
    out[4] = piece_of(beside(f, n, 0, ".nested_quant_map"), DTYPE_F32, 1, 256, 1);
    out[5] = piece_of(beside(f, n, 0, ".quant_state.bitsandbytes__nf4"), DTYPE_U8, 1,
                      PACKED_STATE_BYTES, 1);
}

static void list_int8(folder_out *f, convert_piece *out, const convert_item *item)
{
    const char *n = item->name;
    const size_t drop = strlen("weight");
    out[0] = piece_of(n, DTYPE_I8, 2, item->from.dim[0], item->from.dim[1]);
    out[1] = piece_of(beside(f, n, drop, "SCB"), DTYPE_F32, 1, item->from.dim[0], 1);
    out[2] = piece_of(beside(f, n, drop, "weight_format"), DTYPE_U8, 0, 1, 1);
}

static void list_plain(convert_piece *out, const convert_item *item)
{
    *out = (convert_piece){.name = item->name, .type = item->type, .rank = item->from.rank};
    memcpy(out->dim, item->from.dim, sizeof out->dim);
    out->bytes = tensor_count(&item->from) * dtype_get(item->type)->block_bytes;
}

static bool list_pieces(folder_out *f)
{
    convert_plan *p = f->p;
    const size_t n = (size_t)p->n_item * PIECES_MAX;
    f->piece = arena_take_zero(&p->memory, n, sizeof *f->piece, f->e);
    if (!f->piece) return false;
    for (int32_t i = 0; i < p->n_item; i++) {
        convert_piece *out = f->piece + (int64_t)i * PIECES_MAX;
        if (p->item[i].type == DTYPE_NF4) list_nf4(f, out, &p->item[i]);
        else if (p->item[i].type == DTYPE_INT8) list_int8(f, out, &p->item[i]);
        else list_plain(out, &p->item[i]);
    }
    return f->e->code == ERR_NONE;
}

static void add_header(folder_out *f, buf *header)
{
    int64_t at = 0;
    buf_add_text(header, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int width = 4; width > 0; width /= 2) {
        for (int64_t i = 0; i < (int64_t)f->p->n_item * PIECES_MAX; i++) {
            convert_piece *x = &f->piece[i];
            if (!x->name || dtype_get(x->type)->block_bytes != width) continue;
            buf_add_text(header, ",\"");
            buf_add_json(header, str_of(x->name));
            buf_printf(header, "\":{\"dtype\":\"%s\",\"shape\":[", dtype_get(x->type)->name);
            for (int32_t k = 0; k < x->rank; k++)
                buf_printf(header, "%s%" PRId64, k ? "," : "", x->dim[k]);
            x->at = at;
            at += x->bytes;
            buf_printf(header, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", x->at, at);
        }
    }
    buf_add_char(header, '}');
    while (header->size % 8) buf_add_char(header, ' ');
}

/* ---- packed matrices ---- */

typedef struct packing {
    convert_item *item;
    int32_t head_dim;
    int64_t n, blocks;
    float *x, *absmax; /* [n]; [blocks] or of int8 [rows] */
    uint8_t *code;
    double *squares, *errors; /* [blocks / TASK_BLOCKS], or of int8 [rows] */
} packing;

static void take_row(void *context, int64_t i, int thread)
{
    packing *k = context;
    (void)thread;
    convert_take_row(k->item, k->head_dim, i, k->x + i * convert_columns(&k->item->from));
}

static int64_t task_end(const packing *k, int64_t task)
{
    const int64_t end = (task + 1) * TASK_BLOCKS;
    return end < k->blocks ? end : k->blocks;
}

static void encode_blocks(void *context, int64_t i, int thread)
{
    packing *k = context;
    (void)thread;
    const int64_t first = i * TASK_BLOCKS;
    packed_encode_nf4(k->code, k->absmax, k->x, k->n, first, task_end(k, i) - first);
}

static void weigh(double *squares, double *errors, float x, float y)
{
    const double off = (double)x - (double)y;
    *squares += (double)x * (double)x;
    *errors += off * off;
}

static void weigh_blocks(void *context, int64_t i, int thread)
{
    packing *k = context;
    (void)thread;
    k->squares[i] = k->errors[i] = 0;
    const int64_t from = i * TASK_BLOCKS * PACKED_BLOCK, to = task_end(k, i) * PACKED_BLOCK;
    for (int64_t j = from; j < to && j < k->n; j++) {
        const int q = j % 2 ? k->code[j / 2] & 15 : k->code[j / 2] >> 4;
        weigh(&k->squares[i], &k->errors[i], k->x[j],
              k->absmax[j / PACKED_BLOCK] * dtype_nf4_table[q]);
    }
}

static void encode_row(void *context, int64_t i, int thread)
{
    packing *k = context;
    (void)thread;
    const int64_t columns = convert_columns(&k->item->from);
    const float *x = k->x + i * columns;
    int8_t *code = (int8_t *)k->code + i * columns;
    k->squares[i] = k->errors[i] = 0;
    k->absmax[i] = packed_encode_int8(code, x, columns);
    for (int64_t j = 0; j < columns; j++)
        weigh(&k->squares[i], &k->errors[i], x[j], (float)code[j] * (k->absmax[i] / 127));
}

static void put(folder_out *f, const convert_piece *x, const void *data)
{
    if (fseeko(f->file, f->start + x->at, SEEK_SET) == 0)
        fwrite(data, 1, (size_t)x->bytes, f->file);
}

static const char *torch_word(dtype t)
{
    return t == DTYPE_F16 ? "float16" : t == DTYPE_BF16 ? "bfloat16" : "float32";
}

static bool put_nf4(folder_out *f, packing *k, const convert_piece *x)
{
    arena *a = &f->p->memory;
    float map[256], offset = 0;
    char state[PACKED_STATE_BYTES + 1];
    uint8_t *code = arena_take(a, (size_t)k->blocks, 1, f->e);
    float *outer = arena_take(a, (size_t)x[3].dim[0], sizeof *outer, f->e);
    if (!code || !outer) return false;
    packed_nested_map(map);
    packed_encode_nested(code, outer, &offset, k->absmax, k->blocks);
    const int n = snprintf(state, sizeof state,
                           "{\"quant_type\": \"nf4\", \"blocksize\": %d, \"dtype\": \"%s\", "
                           "\"shape\": [%" PRId64 ", %" PRId64 "], \"nested_blocksize\": %d, "
                           "\"nested_dtype\": \"float32\", \"nested_offset\": %.17g}",
                           PACKED_BLOCK, torch_word(convert_main_type(f->p)), k->item->from.dim[0],
                           k->item->from.dim[1], PACKED_NESTED, (double)offset);
    assert(n > 0 && n <= PACKED_STATE_BYTES);
    memset(state + n, ' ', (size_t)(PACKED_STATE_BYTES - n));
    const void *data[PIECES_MAX] = {k->code, code, dtype_nf4_table, outer, map, state};
    for (int i = 0; i < PIECES_MAX; i++) put(f, &x[i], data[i]);
    return true;
}

static bool check_sums(const packing *k, const folder_out *f, int64_t tasks)
{
    for (int64_t i = 0; i < tasks; i++) {
        k->item->squares += k->squares[i];
        k->item->errors += k->errors[i];
    }
    if (isfinite(k->item->squares) && isfinite(k->item->errors)) return true;
    return err_set(f->e, ERR_MODEL, "%s: the tensor `%s` holds values that are no numbers",
                   f->p->source.path, k->item->name);
}

static bool write_packed(folder_out *f, convert_item *item, const convert_piece *x)
{
    convert_plan *p = f->p;
    arena *a = &p->memory;
    const size_t mark = arena_mark(a);
    const bool nf4 = item->type == DTYPE_NF4;
    packing k = {.item = item, .head_dim = p->head_dim, .n = tensor_count(&item->from)};
    const int64_t rows = item->from.dim[0];
    k.blocks = (k.n + PACKED_BLOCK - 1) / PACKED_BLOCK;
    const int64_t tasks = nf4 ? (k.blocks + TASK_BLOCKS - 1) / TASK_BLOCKS : rows;
    k.x = arena_take(a, (size_t)k.n, sizeof *k.x, f->e);
    k.absmax = arena_take(a, (size_t)(nf4 ? k.blocks : rows), sizeof *k.absmax, f->e);
    k.code = arena_take(a, (size_t)(nf4 ? k.n / 2 : k.n), 1, f->e);
    k.squares = arena_take(a, (size_t)tasks, sizeof *k.squares, f->e);
    k.errors = arena_take(a, (size_t)tasks, sizeof *k.errors, f->e);
    bool ok = f->e->code == ERR_NONE;
    if (ok) {
        pool_run(p->o->threads, rows, take_row, &k);
        pool_run(p->o->threads, tasks, nf4 ? encode_blocks : encode_row, &k);
    }
    if (ok && nf4) {
        ok = put_nf4(f, &k, x);
        if (ok) pool_run(p->o->threads, tasks, weigh_blocks, &k);
    } else if (ok) {
        put(f, &x[0], k.code);
        put(f, &x[1], k.absmax);
        put(f, &x[2], "");
    }
    ok = ok && check_sums(&k, f, tasks) && convert_tell(p, k.n, f->e);
    arena_reset(a, mark);
    return ok;
}

/* ---- the files ---- */

static bool write_items(folder_out *f)
{
    convert_plan *p = f->p;
    for (int32_t i = 0; i < p->n_item && !ferror(f->file); i++) {
        convert_item *item = &p->item[i];
        const convert_piece *x = f->piece + (int64_t)i * PIECES_MAX;
        if (convert_is_packed(item->type)) {
            if (!write_packed(f, item, x)) return false;
            continue;
        }
        if (fseeko(f->file, f->start + x->at, SEEK_SET) != 0) return true; /* commit will say */
        if (!convert_write_rows(p, item, f->file, f->e)) return false;
    }
    return true;
}

static bool write_tensors(convert_plan *p, const char *path, err *e)
{
    buf header = buf_up_to((size_t)100 << 20);
    file_out out;
    folder_out f = {.p = p, .e = e};
    bool ok = list_pieces(&f);
    if (ok) add_header(&f, &header);
    ok = ok && buf_check(&header, "the list of tensors", e) && file_out_open(&out, path, e);
    if (ok) {
        unsigned char length[8];
        for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header.size >> (8 * i));
        fwrite(length, 1, 8, out.stream);
        fwrite(header.data, 1, header.size, out.stream);
        f.file = out.stream;
        f.start = 8 + (int64_t)header.size;
        ok = write_items(&f);
        if (ok) ok = file_out_commit(&out, e);
        else file_out_abandon(&out);
    }
    buf_close(&header);
    return ok;
}

static const char *const copied_files[] = {"tokenizer.json",
                                           "tokenizer.model",
                                           "tokenizer_config.json",
                                           "added_tokens.json",
                                           "special_tokens_map.json",
                                           "vocab.json",
                                           "merges.txt",
                                           "chat_template.jinja",
                                           "chat_template.json",
                                           "generation_config.json"};

static bool copy_file(const convert_plan *p, const char *folder, const char *name, arena *a, err *e)
{
    const char *from = path_join(a, p->source.path, name, e), *to = path_join(a, folder, name, e);
    file_map m;
    if (!from || !to) return false;
    if (!file_exists(from)) return true;
    if (!file_map_open(&m, from, ERR_MODEL, e)) return false;
    const bool ok = file_write_atomic(to, (str){(const char *)m.data, m.size}, e);
    file_map_close(&m);
    return ok;
}

static bool fill_folder(convert_plan *p, const char *folder, err *e)
{
    const char *tensors = path_join(&p->memory, folder, "model.safetensors", e);
    bool ok = tensors && write_tensors(p, tensors, e) && convert_write_config(p, folder, e);
    for (size_t i = 0; ok && !p->source.config.from_gguf && i < countof(copied_files); i++)
        ok = copy_file(p, folder, copied_files[i], &p->memory, e);
    return ok;
}

bool convert_write_folder(convert_plan *p, const char *folder, err *e)
{
    char part[4096];
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--;
    if (n + 6 > sizeof part) return err_set(e, ERR_USAGE, "the name of OUT is too long");
    snprintf(part, sizeof part, "%.*s.part", (int)n, folder);
    if (!file_drop_folder(part, e) || !file_make_folder(part, e)) return false;
    err ignored = {0};
    if (fill_folder(p, part, e) && file_swap_folder(part, folder, e)) return true;
    file_drop_folder(part, &ignored);
    return false;
}
