/*
 * What the layers of an overlay hold in different forms under one name: the upper one is seen, and
 * the administrator may have meant the other.
 */
#pragma once

#include "config.h"

enum { LAYERS_DIFFERENCES_MAX = 100 /* of one overlay; then only that there are more */ };

/*
 * layers_compare - walk the layers of an overlay beside each other
 *
 * Files of one name differ by their bytes, links by their text; directories are merged, so they
 * differ from everything but a directory. Reads every file that two layers have.
 * found    called for each difference: definition, line and column, overlay, path and two layers
 * Returns  how many were found
 */
size_t layers_compare(const struct builder *builder, const struct place *place,
                      void (*found)(void *data, const struct error *err), void *data);
