"""What only a machine with a kernel of its own has: run under QEMU."""

from machine import check, own_kernel


@own_kernel
def test_the_cgroup_controllers_of_a_real_kernel_are_there(m):
    controllers = set(open("/sys/fs/cgroup/cgroup.controllers").read().split())
    check({"memory", "pids", "cpu", "io"} <= controllers, f"only {sorted(controllers)}")
