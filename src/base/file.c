/* file: see file.h. */
#include "base/file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_map_open(file_map *m, const char *path, err_code code, err *e)
{
    assert(m && path);
    *m = (file_map){.path = path};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not keep us waiting */
    if (fd < 0) return err_set(e, code, "cannot open %s: %s", path, strerror(errno));
    bool ok = false;
    struct stat st;
    if (fstat(fd, &st) != 0) {
        err_set(e, code, "cannot read %s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(e, code, "%s is not a regular file", path);
        goto out;
    }
    m->size = (size_t)st.st_size;
    if (m->size > 0) {
        void *data = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            err_set(e, ERR_RESOURCE, "cannot map %s into memory: %s", path, strerror(errno));
            goto out;
        }
        m->data = data;
    }
    ok = true;
out:
    close(fd);
    return ok;
}

void file_map_close(file_map *m)
{
    if (m->data) munmap((void *)(uintptr_t)m->data, m->size);
    *m = (file_map){0};
}

void file_map_rest(const file_map *m)
{
    if (m->data) madvise((void *)(uintptr_t)m->data, m->size, MADV_DONTNEED);
}

void file_rest(const void *data, size_t size)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)data + page - 1) / page * page;
    uintptr_t to = ((uintptr_t)data + size) / page * page;
    if (data && to > from) madvise((void *)from, to - from, MADV_DONTNEED);
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

bool file_is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool file_make_folder(const char *path, err *e)
{
    char part[4096];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part) return err_set(e, ERR_USAGE, "bad folder name (%zu bytes)", n);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != 0) continue;
        char kept = part[i];
        part[i] = 0;
        if (mkdir(part, 0700) != 0 && errno != EEXIST) {
            return err_set(e, ERR_RESOURCE, "cannot make the folder %s: %s", part, strerror(errno));
        }
        part[i] = kept;
    }
    if (!file_is_folder(path)) return err_set(e, ERR_RESOURCE, "%s is not a folder", path);
    return true;
}

bool file_drop_folder(const char *path, err *e)
{
    DIR *folder = opendir(path);
    if (!folder) {
        return errno == ENOENT ||
               err_set(e, ERR_RESOURCE, "cannot open the folder %s: %s", path, strerror(errno));
    }
    const struct dirent *entry;
    while ((entry = readdir(folder))) {
        if (entry->d_type != DT_DIR) unlinkat(dirfd(folder), entry->d_name, 0);
    }
    closedir(folder);
    if (rmdir(path) == 0) return true;
    return err_set(e, ERR_RESOURCE, "cannot remove the folder %s: %s", path, strerror(errno));
}

bool file_drop(const char *path, err *e)
{
    if (file_is_folder(path)) return file_drop_folder(path, e);
    if (unlink(path) == 0 || errno == ENOENT) return true;
    return err_set(e, ERR_RESOURCE, "cannot remove %s: %s", path, strerror(errno));
}

bool file_swap_folder(const char *part, const char *folder, err *e)
{
    const bool there = file_exists(folder);
    if (renameat2(AT_FDCWD, part, AT_FDCWD, folder, there ? RENAME_EXCHANGE : RENAME_NOREPLACE)) {
        return err_set(e, ERR_RESOURCE, "cannot put %s in its place: %s", folder, strerror(errno));
    }
    return !there || file_drop_folder(part, e);
}

/* The part file, locked until it is closed, so that of two programs that write the same file one is
 * told so (not where the file system knows no locks). One that was finished by another before we
 * had its lock is not ours. */
static int open_part(const char *part)
{
    struct stat ours, there;
    for (int tries = 0; tries < 100; tries++) {
        int fd = open(part, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0) return -1;
        bool taken = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        if (!taken && fstat(fd, &ours) == 0 && stat(part, &there) == 0 &&
            ours.st_ino == there.st_ino && ftruncate(fd, 0) == 0)
            return fd;
        close(fd);
        if (taken) break;
    }
    errno = EWOULDBLOCK;
    return -1;
}

bool file_out_open(file_out *f, const char *path, err *e)
{
    *f = (file_out){0};
    size_t n = strlen(path);
    if (n >= sizeof f->path)
        return err_set(e, ERR_USAGE, "the file name is too long (%zu bytes)", n);
    memcpy(f->path, path, n + 1);
    snprintf(f->part, sizeof f->part, "%s.part", path);
    int fd = open_part(f->part);
    f->stream = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (f->stream) return true;
    if (errno == EWOULDBLOCK)
        err_set(e, ERR_RESOURCE, "another program is writing %s; wait until it ends", path);
    else err_set(e, ERR_RESOURCE, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return false;
}

bool file_out_commit(file_out *f, err *e)
{
    assert(f->stream);
    bool written = !ferror(f->stream);
    written = fflush(f->stream) == 0 && written;
    written = fsync(fileno(f->stream)) == 0 && written;
    written = written && rename(f->part, f->path) == 0; /* before the lock goes */
    int reason = errno;
    if (!written) unlink(f->part);
    fclose(f->stream);
    f->stream = NULL;
    if (written) return true;
    if (file_is_folder(f->path))
        return err_set(e, ERR_RESOURCE, "cannot write %s: it is a folder; give a file", f->path);
    return err_set(e, ERR_RESOURCE,
                   "cannot write %s: %s; free some disk space or choose another folder", f->path,
                   strerror(reason));
}

void file_out_abandon(file_out *f)
{
    if (!f->stream) return;
    unlink(f->part); /* before the lock goes */
    fclose(f->stream);
    f->stream = NULL;
}

bool file_write_atomic(const char *path, str bytes, err *e)
{
    file_out f;
    if (!file_out_open(&f, path, e)) return false;
    if (bytes.size) fwrite(bytes.data, 1, bytes.size, f.stream);
    return file_out_commit(&f, e);
}
