#!/usr/bin/env bash
# Lets every user open /dev/kvm. By a rule, since udev's next event undoes a mode that is merely changed, and after packages were
# installed, which is such an event.
set -euo pipefail

if [ ! -e /dev/kvm ]; then
    echo "::notice::this runner has no /dev/kvm: the emulator runs under software emulation"
    exit 0
fi
rule='KERNEL=="kvm", GROUP="kvm", MODE="0666", OPTIONS+="static_node=kvm"'
echo "$rule" | sudo tee /etc/udev/rules.d/99-stack-emulator-kvm.rules
sudo udevadm control --reload-rules
sudo udevadm trigger --name-match=kvm
sudo udevadm settle
