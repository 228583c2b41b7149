/* Owns the receiving end of NOTIFY_SOCKET: binds the datagram socket argv[1] and prints "SECONDS MESSAGE" a message. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

int main(int argc, char **argv)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char message[4096];
    int listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (argc != 2 || strlen(argv[1]) >= sizeof name.sun_path)
        return 2;
    strcpy(name.sun_path, argv[1]);
    if (listener < 0 || bind(listener, (struct sockaddr *)&name, sizeof name) != 0) {
        perror("notify");
        return 1;
    }
    for (;;) {
        ssize_t size = recv(listener, message, sizeof message - 1, 0);
        struct timespec now; /* the clock of /proc/uptime */
        if (size < 0 || clock_gettime(CLOCK_BOOTTIME, &now) != 0)
            return 1;
        for (ssize_t i = 0; i < size; i++)
            if (message[i] == '\n')
                message[i] = ' ';
        message[size] = '\0';
        printf("%lld.%03ld %s\n", (long long)now.tv_sec, now.tv_nsec / 1000000, message);
        fflush(stdout);
    }
}
