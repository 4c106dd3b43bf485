"""Kernels that start in a given interpreter, whatever kernels the machine has installed under the name python3."""

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager


def kernel_of(python: str) -> type[AsyncKernelManager]:
    """The manager class that nbclient starts, and shuts down, an interpreter's kernel with."""

    class Kernel(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            command = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=command, display_name="Python 3", language="python")

    return Kernel
