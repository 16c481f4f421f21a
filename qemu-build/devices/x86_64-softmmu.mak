# Devices of the x86_64 system emulator. Everything else stays out: see docs/qemu.md, "Devices".

# Machines. Each brings its own serial port, RTC, interrupt controllers, IDE or AHCI, ACPI and vmgenid.
CONFIG_I440FX=y
CONFIG_Q35=y
CONFIG_HPET=y
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
CONFIG_PVPANIC_ISA=y
CONFIG_PVPANIC_PCI=y

# What an image meets when it boots as on a foreign hypervisor: default network cards and display, NVMe (which needs
# the SPDM socket to link), USB disks.
CONFIG_E1000E_PCI_EXPRESS=y
CONFIG_E1000_PCI=y
CONFIG_NVME_PCI=y
CONFIG_SPDM_SOCKET=y
CONFIG_USB_STORAGE_CLASSIC=y
CONFIG_USB_XHCI_PCI=y
CONFIG_VGA_PCI=y
