/* Owns the way to lmkd's control socket, for the applications on the board: one that starts before lmkd waits for it. */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATH "/run/lmkd/control"

static int connected(void) /* -1: it was not there for a minute */
{
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = PATH};
    for (int tries = 0; tries < 600; tries++) {
        int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (connect(made, (struct sockaddr *)&to, sizeof to) == 0)
            return made;
        close(made);
        usleep(100000);
    }
    return -1;
}
