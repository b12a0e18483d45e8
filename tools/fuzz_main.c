/* fuzz_main: a driver for the fuzz targets where libFuzzer is absent.
 *
 *     f_NAME FILE|FOLDER ..      runs the target once on each file
 *
 * It makes no new inputs. Crashes are the target's own (an abort, a sanitizer's report).
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns 0 when it is no file that can be read (a folder, for one). */
static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    long size = -1;
    if (f && !fseek(f, 0, SEEK_END)) size = ftell(f);
    uint8_t *data = size >= 0 && size < 1L << 30 ? malloc(size ? (size_t)size : 1) : NULL;
    if (f) rewind(f);
    int good = data && fread(data, 1, (size_t)size, f) == (size_t)size;
    if (good) LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    if (f) fclose(f);
    return good;
}

int main(int argc, char **argv)
{
    int n = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (!folder) n += run_file(argv[i]);
        for (struct dirent *entry; folder && (entry = readdir(folder));) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            if (entry->d_name[0] != '.') n += run_file(path);
        }
        if (folder) closedir(folder);
    }
    printf("%d files replayed\n", n);
    return 0;
}
