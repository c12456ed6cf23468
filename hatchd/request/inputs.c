/* Asks for each of them; store.c knows what is the caller's. */
#include "inputs.h"

#include "store.h"

int inputs_find(const struct request *request, struct inputs *ret, struct error *err)
{
	cleanup_inputs struct inputs inputs = { 0 };

	for (; inputs.n < request->n_inputs; inputs.n++) {
		const char *path = request->inputs[inputs.n].path;
		int *fd = &inputs.store_fds[inputs.n], r;

		*fd = -1;
		r = path ? store_open_input(request->peer, request->config->store_dir, path, fd,
		                            err)
		         : 0;
		if (r < 0)
			return r;
		inputs.n_bound += r > 0;
	}
	*ret = inputs;
	inputs = (struct inputs){ 0 };
	return 0;
}

void inputs_done(struct inputs *inputs)
{
	for (size_t i = 0; i < inputs->n; i++)
		fd_closep(&inputs->store_fds[i]);
	*inputs = (struct inputs){ 0 };
}
