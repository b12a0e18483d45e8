/* tune_files: what an adapter's training leaves on disk; see tune.h for the folder.
 *
 *   checkpoint.bin   "caseload-tune 1\n" | key, 64 digits | checkpoint_head | evaluations
 *                    | losses, one an update | adapter | first moments | second moments
 *                    | SHA-256 of all before, 64 digits
 *
 * Written beside its place, synced, renamed; read only when its hash fits. One of another training
 * (its key differs) is passed over; a damaged one is refused by name. */
#include "study/tune_in.h"

#include "base/room.h"
#include "compute/device.h"

#include "study/events.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char magic[] = "caseload-tune 1\n";
enum { MAGIC_BYTES = sizeof magic - 1, SEAL_BYTES = 64 };
enum { LOSS_POINTS = 200, RECORD_BYTES_MAX = 64 << 20 };

typedef struct checkpoint_head {
    int64_t n_value, updates, log_bytes, event_bytes;
    int32_t n_evaluation, best, n_worse, unused;
    double seconds;
} checkpoint_head;

_Static_assert(sizeof(checkpoint_head) == 56, "the file's layout");

double tune_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double tune_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int64_t tune_bytes_device(const tune_plan *p)
{
    return (int64_t)(p->there_trainer + p->there_scoring);
}

bool tune_path(char path[4096], const char *folder, const char *name, err *e)
{
    int n = snprintf(path, 4096, "%s/%s", folder, name);
    return (n > 0 && n < 4096) ||
           err_set(e, ERR_USAGE, "the folder's name %.100s.. is too long", folder);
}

/* ---- checkpoints ---- */

typedef struct hashed_out {
    file_out file;
    hash_state hash;
} hashed_out;

static void put(hashed_out *o, const void *data, size_t size)
{
    hash_add(&o->hash, data, size);
    if (size) fwrite(data, 1, size, o->file.stream);
}

bool tune_write_checkpoint(tune_job *j, err *e)
{
    char path[4096];
    hashed_out o;
    backend *b = j->backend;
    const size_t numbers = (size_t)j->adapter.n_value * sizeof(float);
    lora_download(&j->adapter, b);
    device_read(b, j->first, j->trainer.first, numbers);
    device_read(b, j->second, j->trainer.second, numbers);
    if (!backend_sync(b, e)) return false;
    const checkpoint_head head = {.n_value = j->adapter.n_value,
                                  .updates = j->at.updates,
                                  .log_bytes = j->at.log_bytes,
                                  .event_bytes = j->at.event_bytes,
                                  .n_evaluation = j->at.n_evaluation,
                                  .best = j->at.best,
                                  .n_worse = j->at.n_worse,
                                  .seconds = j->at.seconds};
    if (!tune_path(path, j->plan->folder, "checkpoint.bin", e) || !file_out_open(&o.file, path, e))
        return false;
    hash_start(&o.hash);
    put(&o, magic, MAGIC_BYTES);
    put(&o, j->plan->key.hex, 64);
    put(&o, &head, sizeof head);
    put(&o, j->at.evaluation, (size_t)head.n_evaluation * sizeof *j->at.evaluation);
    put(&o, j->at.loss, (size_t)head.updates * sizeof *j->at.loss);
    put(&o, j->adapter.value, numbers);
    put(&o, j->first, numbers);
    put(&o, j->second, numbers);
    hash_text seal = hash_finish(&o.hash);
    fwrite(seal.hex, 1, SEAL_BYTES, o.file.stream);
    return file_out_commit(&o.file, e);
}

typedef struct reader { /* of a mapped checkpoint */
    const unsigned char *data;
    size_t left;
} reader;

static bool get(reader *r, void *to, size_t size)
{
    if (r->left < size) return false;
    if (size) memcpy(to, r->data, size);
    r->data += size;
    r->left -= size;
    return true;
}

/* How many evaluations are due up to an update. */
static int32_t count_due(const tune_plan *p, int64_t updates)
{
    int32_t n = 0;
    for (int64_t i = 1; i <= updates; i++) n += tune_is_evaluation(p, i);
    return n;
}

/* A stop between an update and its evaluation leaves one to be done. */
static bool head_fits(const tune_job *j, const checkpoint_head *h)
{
    const tune_plan *p = j->plan;
    if (h->n_value != j->adapter.n_value || h->updates < 0 || h->updates > p->optim.updates)
        return false;
    const int32_t due = count_due(p, h->updates);
    const int32_t open = h->updates > 0 && tune_is_evaluation(p, h->updates);
    return h->n_evaluation >= due - open && h->n_evaluation <= due && h->best >= -1 &&
           h->best < h->n_evaluation && (h->best >= 0) == (h->n_evaluation > 0) &&
           h->n_worse >= 0 && h->n_worse <= h->n_evaluation && h->log_bytes >= 0 &&
           h->event_bytes >= 0 && isfinite(h->seconds) && h->seconds >= 0;
}

static bool evaluations_fit(const tune_job *j, int32_t n)
{
    const tune_evaluation *v = j->at.evaluation;
    for (int32_t i = 0; i < n; i++) {
        if (isnan(v[i].loss) || v[i].update < 1 || v[i].update > j->plan->optim.updates ||
            !tune_is_evaluation(j->plan, v[i].update) || (i > 0 && v[i].update <= v[i - 1].update))
            return false;
    }
    return true;
}

static bool all_finite(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) return false;
    }
    return true;
}

static bool read_body(tune_job *j, reader *r)
{
    checkpoint_head h;
    const int64_t n = j->adapter.n_value;
    const size_t numbers = (size_t)n * sizeof(float);
    if (!get(r, &h, sizeof h) || !head_fits(j, &h)) return false;
    if (!get(r, j->at.evaluation, (size_t)h.n_evaluation * sizeof *j->at.evaluation) ||
        !get(r, j->at.loss, (size_t)h.updates * sizeof *j->at.loss) ||
        !get(r, j->adapter.value, numbers) || !get(r, j->first, numbers) ||
        !get(r, j->second, numbers) || r->left != SEAL_BYTES)
        return false;
    if (!evaluations_fit(j, h.n_evaluation) || !all_finite(j->adapter.value, n) ||
        !all_finite(j->first, n) || !all_finite(j->second, n))
        return false;
    j->at.updates = j->trainer.updates = h.updates;
    j->at.log_bytes = h.log_bytes;
    j->at.event_bytes = h.event_bytes;
    j->at.n_evaluation = h.n_evaluation;
    j->at.best = h.best;
    j->at.n_worse = h.n_worse;
    j->at.seconds = h.seconds;
    return true;
}

bool tune_parse_checkpoint(tune_job *j, str bytes, bool *there)
{
    reader r = {(const unsigned char *)bytes.data, bytes.size};
    char begin[MAGIC_BYTES], key[64];
    *there = false;
    if (!get(&r, begin, MAGIC_BYTES) || !get(&r, key, 64) || memcmp(begin, magic, MAGIC_BYTES) != 0)
        return false;
    if (memcmp(key, j->plan->key.hex, 64) != 0) return true;
    if (r.left < SEAL_BYTES) return false;
    const size_t sealed = bytes.size - SEAL_BYTES;
    const hash_text seal = hash_of(bytes.data, sealed);
    if (memcmp(seal.hex, bytes.data + sealed, SEAL_BYTES) != 0) return false;
    return *there = read_body(j, &r);
}

bool tune_read_checkpoint(tune_job *j, const char *path, bool *there, err *e)
{
    file_map m;
    *there = false;
    if (!file_exists(path)) return true;
    if (!file_map_open(&m, path, ERR_DATA, e)) return false;
    bool ok = tune_parse_checkpoint(j, (str){(const char *)m.data, m.size}, there);
    file_map_close(&m);
    return ok || err_set(e, ERR_DATA,
                         "%s is damaged; delete it, and this adapter's training begins again",
                         path);
}

/* ---- logs ---- */

static bool append(const char *path, str bytes, err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    size_t done = 0;
    while (fd >= 0 && done < bytes.size) {
        ssize_t n = write(fd, bytes.data + done, bytes.size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        done += (size_t)n;
    }
    int reason = errno;
    bool ok = fd >= 0 && done == bytes.size;
    if (fd >= 0) close(fd);
    return ok || err_set(e, ERR_RESOURCE,
                         "cannot write %s: %s; free some disk space, and the same command goes on",
                         path, strerror(reason));
}

/* Makes the file, or cuts it to `size`; *size = what is there. */
static bool cut_file(const char *path, int64_t *size, err *e)
{
    struct stat s;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && fstat(fd, &s) == 0;
    if (ok && s.st_size < *size) *size = s.st_size;
    ok = ok && ftruncate(fd, *size) == 0;
    int reason = errno;
    if (fd >= 0) close(fd);
    return ok || err_set(e, ERR_RESOURCE, "cannot write %s: %s", path, strerror(reason));
}

static const char log_name[] = "log.jsonl", event_name[] = "events.out.tfevents.caseload";

bool tune_open_logs(tune_job *j, err *e)
{
    char log[4096], events[4096];
    if (!tune_path(log, j->plan->folder, log_name, e) ||
        !tune_path(events, j->plan->folder, event_name, e) || !cut_file(log, &j->at.log_bytes, e) ||
        !cut_file(events, &j->at.event_bytes, e))
        return false;
    if (j->at.event_bytes > 0) return true;
    buf first = buf_up_to(1000);
    events_add_opening(&first, tune_time());
    bool ok = tune_log(j, STR(""), buf_view(&first), e);
    buf_close(&first);
    return ok;
}

bool tune_log(tune_job *j, str line, str events, err *e)
{
    char path[4096];
    if (!tune_path(path, j->plan->folder, log_name, e) || !append(path, line, e)) return false;
    j->at.log_bytes += (int64_t)line.size;
    if (!tune_path(path, j->plan->folder, event_name, e) || !append(path, events, e)) return false;
    j->at.event_bytes += (int64_t)events.size;
    return true;
}

/* ---- the adapter and its record ---- */

bool tune_write_adapter(tune_job *j, err *e)
{
    const adapter_about about = {.base = j->plan->texts->engine->header.name,
                                 .patient_derived = true};
    lora_download(&j->adapter, j->backend);
    if (!backend_sync(j->backend, e)) return false;
    return adapter_write(&j->adapter, j->plan->folder, &about, e);
}

static bool hash_file_into(hash_state *h, const char *folder, const char *name, err *e)
{
    char path[4096];
    file_map m;
    if (!tune_path(path, folder, name, e) || !file_map_open(&m, path, ERR_MODEL, e)) return false;
    hash_add_field(h, (str){(const char *)m.data, m.size});
    file_map_close(&m);
    return true;
}

static bool hash_adapter(const char *folder, hash_text *out, err *e)
{
    hash_state h;
    hash_start(&h);
    if (!hash_file_into(&h, folder, "adapter_config.json", e) ||
        !hash_file_into(&h, folder, "adapter_model.safetensors", e))
        return false;
    *out = hash_finish(&h);
    return true;
}

static void add_text(buf *b, const char *key, str value)
{
    buf_printf(b, "\"%s\": \"", key);
    buf_add_json(b, value);
    buf_add_text(b, "\", ");
}

static void add_settings(const tune_job *j, buf *b)
{
    const tune_plan *p = j->plan;
    const spec_lora *l = p->training->lora;
    buf_printf(b, "\"settings\": {\"rank\": %d, \"alpha\": %.17g, \"targets\": [", p->lora.rank,
               p->lora.alpha);
    for (int k = 0, n = 0; k < LORA_TARGETS; k++) {
        if (!(j->adapter.config.targets >> k & 1)) continue;
        buf_printf(b, "%s\"%s\"", n++ ? ", " : "", lora_target_name((lora_target)k));
    }
    buf_printf(b,
               "], \"learning_rate\": %.17g, \"schedule\": \"%s\", \"warmup_updates\": %lld, "
               "\"updates\": %lld, \"batch\": %d, \"weight_decay\": %.17g, \"clip\": %.17g, ",
               p->optim.rate, l->schedule ? "constant" : "cosine", (long long)p->optim.warmup,
               (long long)p->optim.updates, l->batch, p->optim.decay, p->optim.clip);
    buf_printf(b, "\"sample\": \"%s\", \"micro_tokens\": %d, \"early_stop\": %d, ",
               l->sample ? "balanced" : "all", p->most.rows, l->patience);
    add_text(b, "learn",
             l->learn == SPEC_LEARN_COLUMN      ? l->column.text
             : l->learn == SPEC_LEARN_REFERENCE ? STR("reference")
                                                : STR("label"));
    buf_add_text(b, "\"class_weights\": [");
    for (int32_t c = 0; c < j->tune->run->spec.n_class; c++)
        buf_printf(b, "%s%.17g", c ? ", " : "", p->weight[c]);
    buf_add_text(b, "]}, ");
}

static void add_evaluation(buf *b, const tune_evaluation *v)
{
    buf_printf(b, "{\"update\": %lld, ", (long long)v->update);
    if (!isnan(v->auroc)) buf_printf(b, "\"tune_auroc\": %.17g, ", v->auroc);
    buf_printf(b, "\"tune_loss\": %.9g}", v->loss);
}

/* Means over at most LOSS_POINTS stretches: [last update, mean loss]. */
static void add_curve(const tune_progress *at, buf *b)
{
    const int64_t each = (at->updates + LOSS_POINTS - 1) / LOSS_POINTS;
    buf_add_text(b, "\"loss\": [");
    for (int64_t i = 0; i < at->updates; i += each) {
        double sum = 0;
        int64_t n = 0;
        for (; n < each && i + n < at->updates; n++) sum += at->loss[i + n];
        buf_printf(b, "%s[%lld, %.9g]", i ? ", " : "", (long long)(i + n), sum / (double)n);
    }
    buf_add_text(b, "], \"evaluations\": [");
    for (int32_t i = 0; i < at->n_evaluation; i++) {
        if (i) buf_add_text(b, ", ");
        add_evaluation(b, &at->evaluation[i]);
    }
    buf_add_text(b, "]");
    if (at->best < 0) return;
    buf_add_text(b, ", \"best\": ");
    add_evaluation(b, &at->evaluation[at->best]);
}

static void add_record(const tune_job *j, const hash_text *adapter, buf *b)
{
    const tune_plan *p = j->plan;
    const tune_texts *x = p->texts;
    buf_add_text(b, "{\"format\": \"caseload-tune 1\", ");
    add_text(b, "key", str_of(p->key.hex));
    add_text(b, "adapter_sha256", str_of(adapter->hex));
    add_text(b, "arm", p->training->arm);
    add_text(b, "unit", str_of(p->unit));
    add_text(b, "base", str_of(x->engine->header.name));
    add_text(b, "model_sha256", str_of(x->model->hash.hex));
    add_text(b, "tokenizer_sha256", str_of(x->model->tokenizer_hash.hex));
    add_text(b, "numerics", str_of(x->numerics));
    buf_printf(b, "\"seed\": %llu, \"rows\": %d, \"rows_asked\": %d, \"tune_rows\": %d, ",
               (unsigned long long)p->training->seed, p->n_row, p->training->size,
               p->texts->n_choose);
    add_settings(j, b);
    buf_printf(b,
               "\"parameters\": %lld, \"rows_drawn\": %lld, \"tokens\": %lld, "
               "\"tokens_unshared\": %lld, \"micro_batches\": %lld, \"rerun_layers\": %d, ",
               (long long)j->adapter.n_value, (long long)p->n_draw, (long long)p->tokens,
               (long long)p->tokens_unshared, (long long)p->n_micro, p->shape.rerun_layers);
    buf_printf(b,
               "\"bytes_planned\": %lld, \"bytes_before\": %lld, \"bytes_weights\": %lld, "
               "\"bytes_peak\": %lld, \"seconds\": %.3f, "
               "\"updates_done\": %lld, ",
               (long long)(j->all->n * p->bytes), (long long)j->all->bytes_before,
               (long long)j->all->bytes_weights, (long long)j->all->bytes_peak, j->at.seconds,
               (long long)j->at.updates);
    if (tune_bytes_device(p) > 0)
        buf_printf(b, "\"bytes_device\": %lld, ", (long long)tune_bytes_device(p));
    add_curve(&j->at, b);
    buf_add_text(b, "}\n");
}

static void add_readme(const tune_job *j, buf *b)
{
    const tune_plan *p = j->plan;
    const char *base = j->plan->texts->engine->header.name;
    buf_printf(b,
               "# LoRA adapter `%s`\n\n"
               "**contains-patient-derived-data.** The numbers in this folder were shaped by the "
               "texts of a study. Adapters can give away what they were trained on: treat this "
               "folder as those texts are treated, and do not publish it without their custodian's "
               "word.\n\n"
               "- base model: %s (SHA-256 %s)\n"
               "- rank %d, alpha %g; %d training rows, seed %llu, %lld updates of %d rows\n",
               p->unit, base, p->texts->model->hash.hex, p->lora.rank, p->lora.alpha, p->n_row,
               (unsigned long long)p->training->seed, (long long)j->at.updates,
               p->training->lora->batch);
    if (j->at.best >= 0) {
        const tune_evaluation *v = &j->at.evaluation[j->at.best];
        buf_printf(b, "- chosen on the %d tune rows: update %lld", p->texts->n_choose,
                   (long long)v->update);
        if (!isnan(v->auroc)) buf_printf(b, ", AUROC %.4f", v->auroc);
        buf_add_text(b, "\n");
    }
    buf_add_text(b,
                 "\nMade by `caseload tune`; `tune.json` holds every setting, hash and loss. The "
                 "layout is PEFT's: `PeftModel.from_pretrained(base, this folder)` reads it.\n");
}

static bool write_file(const tune_job *j, const char *name, const buf *b, err *e)
{
    char path[4096];
    return buf_check(b, name, e) && tune_path(path, j->plan->folder, name, e) &&
           file_write_atomic(path, buf_view(b), e);
}

bool tune_write_done(tune_job *j, err *e)
{
    char path[4096];
    hash_text adapter;
    buf record = buf_up_to(RECORD_BYTES_MAX), readme = buf_up_to(1 << 16);
    j->all->bytes_peak = room_bytes_peak();
    bool ok = hash_adapter(j->plan->folder, &adapter, e);
    if (ok) add_record(j, &adapter, &record);
    if (ok) add_readme(j, &readme);
    ok = ok && write_file(j, "README.md", &readme, e) && write_file(j, "tune.json", &record, e);
    buf_close(&record);
    buf_close(&readme);
    if (ok && tune_path(path, j->plan->folder, "checkpoint.bin", e)) unlink(path);
    return ok && e->code == ERR_NONE;
}

/* A file of one folder into another, with the adapter's name where it says the old one. */
static bool copy_file(const tune_plan *from, const tune_plan *to, const char *name, err *e)
{
    char path[4096];
    file_map m;
    if (!tune_path(path, from->folder, name, e) || !file_map_open(&m, path, ERR_RESOURCE, e))
        return false;
    const str whole = {(const char *)m.data, m.size};
    const int64_t at = str_find(whole, str_of(from->unit));
    const bool text = at >= 0 && (str_ends(str_of(name), ".json") || str_ends(str_of(name), ".md"));
    buf out = buf_up_to(BUF_MAX);
    if (text) {
        const size_t behind = (size_t)at + strlen(from->unit);
        buf_add(&out, whole.data, (size_t)at);
        buf_add_text(&out, to->unit);
        buf_add(&out, whole.data + behind, whole.size - behind);
    }
    bool ok = buf_check(&out, name, e) && tune_path(path, to->folder, name, e) &&
              file_write_atomic(path, text ? buf_view(&out) : whole, e);
    buf_close(&out);
    file_map_close(&m);
    return ok;
}

bool tune_copy_done(const tune_plan *from, const tune_plan *to, err *e)
{
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors",
                                        "log.jsonl",           "events.out.tfevents.caseload",
                                        "README.md",           "tune.json"};
    if (!file_make_folder(to->folder, e)) return false;
    for (size_t i = 0; i < countof(names); i++) { /* the record last: then all is there */
        if (!copy_file(from, to, names[i], e)) return false;
    }
    return true;
}

static bool is_of(const file_map *m, const char *key, const hash_text *adapter)
{
    json_error_t why;
    json_t *root = json_loadb((const char *)m->data, m->size, JSON_REJECT_DUPLICATES, &why);
    const char *its = json_string_value(json_object_get(root, "key"));
    const char *hash = json_string_value(json_object_get(root, "adapter_sha256"));
    bool same = its && hash && !strcmp(its, key) && !strcmp(hash, adapter->hex);
    json_decref(root);
    return same;
}

bool tune_read_done(const tune_plan *p, arena *a, tune_adapter *out, bool *done, err *e)
{
    char path[4096];
    file_map m;
    err unread = {0};
    *done = false;
    *out = (tune_adapter){0};
    if (!tune_path(path, p->folder, "tune.json", e)) return false;
    if (!file_exists(path)) return true;
    if (!hash_adapter(p->folder, &out->hash, &unread)) return true; /* trained again */
    if (!file_map_open(&m, path, ERR_DATA, e)) return false;
    *done = m.size < RECORD_BYTES_MAX && is_of(&m, p->key.hex, &out->hash);
    if (*done) out->record_json = str_keep(a, (str){(const char *)m.data, m.size}, e);
    file_map_close(&m);
    return e->code == ERR_NONE;
}
