# Devices of the aarch64 system emulator. Everything else stays out: see docs/qemu.md, "Devices".

# The machine brings its own serial port, RTC, interrupt controllers, flash and GPIO power button.
CONFIG_ARM_VIRT=y
# The ACPI tables of every machine name CXL windows: without these three the emulator does not link.
CONFIG_CXL=y
CONFIG_CXL_MEM_DEVICE=y
CONFIG_PXB=y

# What our virtual machines are made of.
CONFIG_PCIE_PORT=y
CONFIG_VIRTIO_BALLOON=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_NET=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_SCSI=y
CONFIG_VIRTIO_SERIAL=y

# A panic of the guest's kernel becomes a QMP event.
CONFIG_PVPANIC_PCI=y

# What an image meets when it boots as on a foreign hypervisor.
CONFIG_E1000E_PCI_EXPRESS=y
CONFIG_NVME_PCI=y
CONFIG_SPDM_SOCKET=y
CONFIG_USB_STORAGE_CLASSIC=y
CONFIG_USB_XHCI_PCI=y
