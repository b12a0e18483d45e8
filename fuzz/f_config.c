/* Fuzzes config.json: any JSON gives a sound configuration or an error. */
#include "model/files_in.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    err e = {0};
    arena a;
    json_error_t why;
    json_t *root = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &why);
    if (!root) return 0;
    if (arena_open(&a, 16 << 20, "fuzz", &e)) {
        model_config c;
        bool ok = config_from_json(&c, root, "config.json", &a, &e);
        assert(ok == (e.code == ERR_NONE));
        if (ok) assert(config_check(&c, "config.json", &e));
        arena_close(&a);
    }
    json_decref(root);
    return 0;
}
