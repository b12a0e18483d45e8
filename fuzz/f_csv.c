/* Any bytes as a CSV table: columns that hold together and read back the same, or a sentence. */
#include "table_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_table(data, size, "fuzz.csv", false);
    return 0;
}
