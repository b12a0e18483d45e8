/* files_in: names in messages, paths, JSON files, the tensor directory; see files_in.h. */
#include "model/files_in.h"

#include <stdlib.h>

const char *name_shown(char out[NAME_SHOWN], str name)
{
    size_t n = name.size < NAME_SHOWN - 3 ? name.size : NAME_SHOWN - 3;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)name.data[i];
        out[i] = c < 32 || c > 126 ? '?' : (char)c;
    }
    memcpy(out + n, name.size > n ? ".." : "", name.size > n ? 3 : 1);
    return out;
}

const char *path_join(arena *a, const char *folder, const char *name, err *e)
{
    size_t n = strlen(folder), m = strlen(name);
    while (n > 1 && folder[n - 1] == '/') n--;
    char *path = arena_take(a, n + m + 2, 1, e);
    if (!path) return NULL;
    memcpy(path, folder, n);
    path[n] = '/';
    memcpy(path + n + 1, name, m + 1);
    return path;
}

json_t *json_read_file(const char *path, size_t bytes_max, err *e)
{
    file_map m;
    if (!file_map_open(&m, path, ERR_MODEL, e)) return NULL;
    json_t *root = NULL;
    json_error_t why;
    if (m.size > bytes_max) {
        err_set(e, ERR_MODEL, "%s has %zu bytes; at most %zu are read", path, m.size, bytes_max);
    } else if (m.size == 0) {
        err_set(e, ERR_MODEL, "%s is empty", path);
    } else {
        root = json_loadb((const char *)m.data, m.size, JSON_REJECT_DUPLICATES, &why);
        if (!root &&
            json_error_code(&why) == json_error_numeric_overflow) /* model_max_length 1e30 */
            root = json_loadb((const char *)m.data, m.size,
                              JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &why);
        if (!root) {
            err_set(e, ERR_MODEL, "%s: line %d, column %d: not valid JSON (%s)", path, why.line,
                    why.column, why.text);
        }
    }
    file_map_close(&m);
    return root;
}

static int order_entries(const void *a, const void *b)
{
    return str_order(((const tensor_entry *)a)->name, ((const tensor_entry *)b)->name);
}

bool files_sort_tensors(model_header *h, tensor_entry *entry, int32_t n, err *e)
{
    char shown[NAME_SHOWN];
    if (n > 1) qsort(entry, (size_t)n, sizeof *entry, order_entries);
    h->n_parameter = h->bytes_weights = 0;
    for (int32_t i = 0; i < n; i++) {
        if (i > 0 && str_equal(entry[i].name, entry[i - 1].name)) {
            return err_set(e, ERR_MODEL, "%s: the tensor `%s` is in two files", h->path,
                           name_shown(shown, entry[i].name));
        }
        h->n_parameter += tensor_count(&entry[i].view);
        h->bytes_weights += entry[i].bytes;
    }
    h->tensor = entry;
    h->n_tensor = n;
    return true;
}

const tensor_entry *model_find_tensor(const model_header *h, const char *name)
{
    tensor_entry wanted = {.name = str_of(name)};
    if (h->n_tensor == 0) return NULL;
    return bsearch(&wanted, h->tensor, (size_t)h->n_tensor, sizeof *h->tensor, order_entries);
}
