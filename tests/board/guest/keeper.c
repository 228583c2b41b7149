/* Owns memory whose contents are known: fills argv[1] MB, prints "filled"; on SIGUSR1 prints "intact" or "lost". */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
    size_t count = argc == 2 ? (size_t)atoi(argv[1]) * (1 << 20) / sizeof(uint32_t) : 0;
    uint32_t *words = mmap(NULL, count * sizeof *words, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigset_t asked;
    int signal;
    sigemptyset(&asked);
    sigaddset(&asked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &asked, NULL);
    if (count == 0 || words == MAP_FAILED)
        return 1;
    for (size_t i = 0; i < count; i++)
        words[i] = (uint32_t)i / 3 * 2654435761u;
    for (const char *state = "filled";; sigwait(&asked, &signal)) {
        if (*state == '?') {
            state = "intact";
            for (size_t i = 0; i < count; i++)
                if (words[i] != (uint32_t)i / 3 * 2654435761u)
                    state = "lost";
        }
        printf("%s\n", state);
        fflush(stdout);
        state = "?";
    }
}
