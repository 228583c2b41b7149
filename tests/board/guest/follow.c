/* Owns the live view of a log: copies the file argv[1] to standard output as it grows, waking only when it does. */
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <unistd.h>

static char buffer[4096];

static int copy(int from)
{
    ssize_t size;
    while ((size = read(from, buffer, sizeof buffer)) > 0)
        for (ssize_t done = 0; done < size;) {
            ssize_t written = write(STDOUT_FILENO, buffer + done, (size_t)(size - done));
            if (written < 0)
                return -1;
            done += written;
        }
    return (int)size;
}

int main(int argc, char **argv)
{
    int log = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    int watch = inotify_init1(IN_CLOEXEC);
    if (log < 0 || watch < 0 || inotify_add_watch(watch, argv[1], IN_MODIFY) < 0)
        return 1;
    setpriority(PRIO_PROCESS, 0, 19); /* it shows what happens and must not change it */
    while (copy(log) == 0) {
        char events[sizeof(struct inotify_event) * 16];
        if (read(watch, events, sizeof events) <= 0)
            return 1;
    }
    return 1;
}
