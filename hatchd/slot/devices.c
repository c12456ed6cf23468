/* A list of devices becomes a program of a few instructions for each. */
#include "devices.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* --- opening --- */

static int open_device(const struct builder *builder, const struct place *place, struct device *ret,
                       struct error *err)
{
	cleanup_fd int fd = open(place->source, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && place->optional && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, BLAME_HOST, errno,
		                   "cannot open the device %s of builder %s", place->source,
		                   builder->name);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(err, BLAME_HOST, ENODEV, "%s of builder %s (%s) is no device",
		                 place->source, builder->name, builder->file);
	*ret = (struct device){ .place = place,
		                .fd = take_fd(&fd),
		                .block = S_ISBLK(st.st_mode),
		                .number = st.st_rdev };
	return 1;
}

int devices_open(const struct builder *builder, struct devices *ret, struct error *err)
{
	for (size_t i = 0; i < builder->view.n_places; i++) {
		int r = 0;

		if (builder->view.places[i].kind == PLACE_DEVICE)
			r = open_device(builder, &builder->view.places[i],
			                &ret->items[ret->n_items], err);
		if (r < 0)
			return r;
		ret->n_items += (size_t)r;
	}
	return 0;
}

void devices_done(struct devices *devices)
{
	for (size_t i = 0; i < devices->n_items; i++)
		fd_closep(&devices->items[i].fd);
	devices->n_items = 0;
}

const struct device *devices_find(const struct devices *devices, const struct place *place)
{
	for (size_t i = 0; i < devices->n_items; i++)
		if (devices->items[i].place == place)
			return &devices->items[i];
	return NULL;
}

/* --- the program --- */

/* What every builder may open: what its /dev holds, and the terminals of its own devpts. */
static const struct rule {
	unsigned major, first_minor, last_minor;
} common[] = {
	{ 1, 3, 3 },            /* null */
	{ 1, 5, 5 },            /* zero */
	{ 1, 7, 9 },            /* full, random, urandom */
	{ 5, 0, 0 },            /* tty */
	{ 5, 2, 2 },            /* ptmx */
	{ 136, 0, UINT32_MAX }, /* pts; more than a million of them have the numbers up to 143 */
	{ 137, 0, UINT32_MAX },
	{ 138, 0, UINT32_MAX },
	{ 139, 0, UINT32_MAX },
	{ 140, 0, UINT32_MAX },
	{ 141, 0, UINT32_MAX },
	{ 142, 0, UINT32_MAX },
	{ 143, 0, UINT32_MAX },
};

enum {
	TYPE = BPF_REG_2, /* BPF_DEVCG_DEV_* */
	MAJOR = BPF_REG_4,
	MINOR = BPF_REG_5,
	INSNS_OF_RULE = 6,
	INSNS_MAX = 8 + (VIEW_DEVICES_MAX + ARRAY_SIZE(common)) * INSNS_OF_RULE,
};

struct program {
	struct bpf_insn insns[INSNS_MAX];
	size_t n_insns;
};

static void add(struct program *program, struct bpf_insn insn)
{
	program->insns[program->n_insns++] = insn;
}

static struct bpf_insn load(unsigned reg, size_t offset)
{
	return (struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_W,
		                  .dst_reg = reg,
		                  .src_reg = BPF_REG_1,
		                  .off = (int16_t)offset };
}

/* 32 bits wide: a number with the highest bit set is not sign-extended. */
static struct bpf_insn jump(unsigned op, unsigned reg, uint32_t value, int16_t ahead)
{
	return (struct bpf_insn){ .code = (uint8_t)(BPF_JMP32 | op | BPF_K),
		                  .dst_reg = reg,
		                  .off = ahead,
		                  .imm = (int32_t)value };
}

static void add_answer(struct program *program, bool allowed)
{
	add(program, (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K,
	                                .dst_reg = BPF_REG_0,
	                                .imm = allowed });
	add(program, (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT });
}

static void add_rule(struct program *program, unsigned type, const struct rule *rule)
{
	add(program, jump(BPF_JNE, TYPE, type, 5));
	add(program, jump(BPF_JNE, MAJOR, rule->major, 4));
	add(program, jump(BPF_JLT, MINOR, rule->first_minor, 3));
	add(program, jump(BPF_JGT, MINOR, rule->last_minor, 2));
	add_answer(program, true);
}

/* The upper half of the first word is what is to be done: reading, writing, making a node. Whoever
 * may do one may do the others; a builder has no capability to make a node. */
static void make_program(const struct devices *devices, struct program *program)
{
	add(program, load(TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type)));
	add(program,
	    (struct bpf_insn){ .code = BPF_ALU | BPF_AND | BPF_K, .dst_reg = TYPE, .imm = 0xffff });
	add(program, load(MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major)));
	add(program, load(MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor)));
	for (size_t i = 0; i < ARRAY_SIZE(common); i++)
		add_rule(program, BPF_DEVCG_DEV_CHAR, &common[i]);
	for (size_t i = 0; i < devices->n_items; i++) {
		const struct device *device = &devices->items[i];
		const struct rule rule = { major(device->number), minor(device->number),
			                   minor(device->number) };

		add_rule(program, device->block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, &rule);
	}
	add_answer(program, false);
}

static int load_program(const struct devices *devices)
{
	struct program program = { .n_insns = 0 };
	union bpf_attr attr = { 0 };
	int fd;

	make_program(devices, &program);
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uint64_t)(uintptr_t)program.insns;
	attr.insn_cnt = (uint32_t)program.n_insns;
	attr.license = (uint64_t)(uintptr_t) "MIT";
	fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}

int devices_confine(const struct devices *devices, int cgroup_fd)
{
	cleanup_fd int program_fd = load_program(devices);
	union bpf_attr attr = { 0 };

	if (program_fd < 0)
		return program_fd;
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)program_fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	return syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

bool devices_can_confine(void)
{
	const struct devices none = { .n_items = 0 };
	cleanup_fd int fd = load_program(&none);

	return fd >= 0;
}
