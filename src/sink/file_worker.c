/* SPDX-License-Identifier: Apache-2.0
 *
 * file_worker: see file_worker.h.
 */
#include "sink/file_worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "core/mem.h"

struct file_workers {
    struct loop *loop; /* borrowed: outlives the workers */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* under the lock */
    struct file_job *first;
    struct file_job **last_next;
    bool ending;
    /* the loop's thread */
    unsigned n_threads;
    pthread_t threads[];
};

static struct file_job *take(struct file_workers *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->first && !w->ending)
        pthread_cond_wait(&w->wake, &w->lock);
    struct file_job *job = w->first;
    if (job) {
        w->first = job->next;
        if (!w->first)
            w->last_next = &w->first;
    }
    pthread_mutex_unlock(&w->lock);
    return job;
}

static void *helper(void *arg)
{
    struct file_workers *w = arg;
    struct file_job *job;
    while ((job = take(w)) != NULL) {
        job->run(job->arg);
        loop_post(w->loop, &job->task, job->done, job->arg);
    }
    return NULL;
}

struct file_workers *file_workers_new(struct loop *loop, unsigned threads, struct err *err)
{
    struct file_workers *w = xcalloc(1, sizeof(*w) + threads * sizeof(w->threads[0]));
    w->loop = loop;
    w->last_next = &w->first;
    CHECK(pthread_mutex_init(&w->lock, NULL) == 0);
    CHECK(pthread_cond_init(&w->wake, NULL) == 0);

    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = 0;
    while (w->n_threads < threads && failed == 0) {
        failed = pthread_create(&w->threads[w->n_threads], NULL, helper, w);
        if (failed == 0)
            w->n_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        err_set_errno(err, ERR_IO, failed, "cannot start a helper thread for the directory");
        file_workers_free(w);
        return NULL;
    }
    return w;
}

void file_workers_submit(struct file_workers *workers, struct file_job *job, void (*run)(void *arg),
                         void (*done)(void *arg), void *arg)
{
    job->run = run;
    job->done = done;
    job->arg = arg;
    job->next = NULL;
    pthread_mutex_lock(&workers->lock);
    *workers->last_next = job;
    workers->last_next = &job->next;
    pthread_cond_signal(&workers->wake);
    pthread_mutex_unlock(&workers->lock);
}

void file_workers_free(struct file_workers *workers)
{
    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    CHECK(!workers->first);
    workers->ending = true;
    pthread_cond_broadcast(&workers->wake);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->n_threads; i++)
        pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->wake);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}
