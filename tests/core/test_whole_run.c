/* The way of the data from first to last: photographs through a network, a head trained on the
 * features, predictions.  Small and short, so that it also runs under valgrind. */
#include <sys/stat.h>
#include <unistd.h>

#include "head/head.h"
#include "trial.h"

enum { PHOTOGRAPHS = 12, CLASSES = 2, THREADS = 2 };

/* Dark photographs and light ones by turns. */
static uint8_t *
make_photographs(gt_net *net, int32_t *labels)
{
    int64_t size = gt_shape_size(net->graph.nodes[0].shape);
    uint8_t *images = make_images(net, PHOTOGRAPHS);
    for (int i = 0; i < PHOTOGRAPHS; i++) {
        labels[i] = i % CLASSES;
        for (int64_t k = 0; k < size; k++) {
            uint8_t *pixel = &images[i * size + k];
            *pixel = (uint8_t)(*pixel / 2 + 128 * labels[i]);
        }
    }
    return images;
}

static int
add_network(gt_net *net)
{
    gt_net_start(net, 12, 12, 3);
    int a = gt_net_add(net, gt_net_conv(net, 0, 3, 3, 16, 1), "conv", 0);
    int b = gt_net_add(net, gt_net_batch_norm(net, a), "norm", a);
    int c = gt_net_plain(net, GT_OP_RELU, "relu", b);
    int d = gt_net_add(net, gt_net_pool(GT_OP_MAX_POOL, 2, 2, GT_PAD_VALID), "pool", c);
    int e = gt_net_add(net, gt_net_conv(net, d, 3, 3, 16, 1), "second", d);
    int f = gt_net_join(net, GT_OP_CONCAT, "concat", (int[]){d, e}, 2);
    return gt_net_plain(net, GT_OP_GLOBAL_AVERAGE_POOL, "features", f);
}

static int
count_right(const float *probabilities, const int32_t *labels)
{
    int right = 0;
    for (int i = 0; i < PHOTOGRAPHS; i++) {
        right += probabilities[i * CLASSES + labels[i]] > 0.5f;
    }
    return right;
}

static void
test_photographs_to_predictions(void)
{
    gt_net net;
    int32_t labels[PHOTOGRAPHS];
    float features[PHOTOGRAPHS * 32];
    float probabilities[PHOTOGRAPHS * CLASSES];
    int output = add_network(&net);
    uint8_t *images = make_photographs(&net, labels);
    gt_backbone *backbone = make(&net, &output, 1, THREADS, 2);
    CHECK(gt_backbone_run(backbone, images, PHOTOGRAPHS, (float *[]){features}, &error) == GT_OK);
    CHECK(gt_backbone_run(backbone, images, 1, (float *[]){features}, &error) == GT_OK);
    gt_head_config shape = {2, {32, 8, CLASSES}};
    gt_head_data data = {.n = PHOTOGRAPHS, .features = features, .labels = labels};
    gt_train_config config = gt_train_defaults();
    gt_head *head = NULL;
    config.learning_rate = 0.01;
    config.batch_size = 5;
    CHECK(gt_head_create(&shape, 1, &head, &error) == GT_OK);
    CHECK(gt_head_train(head, &data, &data, NULL, &config, NULL, NULL, &error) == GT_OK);
    CHECK(gt_head_predict(head, features, PHOTOGRAPHS, 0, THREADS, probabilities, &error) == GT_OK);
    CHECK(count_right(probabilities, labels) == PHOTOGRAPHS);
    gt_head_free(head);
    gt_backbone_free(backbone);
    free(images);
    gt_net_clear(&net);
}

#ifdef __SANITIZE_THREAD__
enum { ALONE = 2 }; /* that sanitizer has a thread of its own */
#else
enum { ALONE = 1 };
#endif

/* Threads of this process. */
static int
count_threads(void)
{
    struct stat tasks;
    return stat("/proc/self/task", &tasks) == 0 ? (int)tasks.st_nlink - 2 : ALONE;
}

/* libgomp's threads end by themselves, a little after the thread they worked for: until then
 * valgrind takes what they have for lost. */
static void
test_all_threads_end(void)
{
    for (int i = 0; i < 1000 && count_threads() > ALONE; i++) {
        (void)usleep(10000);
    }
    CHECK(count_threads() <= ALONE);
}

int
main(void)
{
    RUN(test_photographs_to_predictions);
    RUN(test_all_threads_end);
    return check_report();
}
