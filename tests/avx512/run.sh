#!/usr/bin/env bash
# Runs the tests of the vector kernels on an emulated processor with AVX-512 and VBMI, where the machine has none:
#
#     tests/avx512/run.sh [--kernel FILE] [FILTER...]
#
# A small Linux with the test binaries of segue-model and segue-learners boots in Bochs and says how they ended.
# Without a filter these are all tests of engines, explanations, histograms, splits, binning and objectives: tens
# of minutes, since the emulator makes some fifty million instructions a second. Needs a kernel, /boot/vmlinuz-* if
# none is given (Debian: apt-get download linux-image-cloud-amd64), and from Debian
#
#     apt install bochs isolinux syslinux-common xorriso busybox-static cpio
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."
usage() {
    sed -n '2,12s/^# \{0,1\}//p' "$self" >&2
    exit "$1"
}

kernel=$(compgen -G '/boot/vmlinuz-*' | tail -1 || true)
while [ $# -gt 0 ]; do
    case $1 in
    --kernel) kernel=${2:?--kernel needs a file} && shift 2 ;;
    -*) usage 2 ;;
    *) break ;;
    esac
done
for tool in bochs xorriso busybox cpio python3; do
    command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2 && usage 1; }
done
[ -r "$kernel" ] || { echo "no kernel to boot: '$kernel' cannot be read" >&2 && usage 1; }

work=${CARGO_TARGET_DIR:-target}/avx512
rm -rf "$work" && mkdir -p "$work"/root/{bin,proc,sys,dev,tmp} "$work/iso/isolinux"
work=$(realpath "$work")

# The binaries that cargo test would run, and the libraries that they ask for.
cargo test --release --no-run --lib -p segue-model -p segue-learners --message-format=json >"$work/built.jsonl"
python3 - "$work" <<'PYTHON'
import json, shutil, subprocess, sys
from pathlib import Path

work = Path(sys.argv[1])
for line in (work / "built.jsonl").read_text().splitlines():
    built = json.loads(line)
    if built.get("executable") and built["profile"]["test"]:
        name = work / "root/bin" / built["target"]["name"]
        subprocess.run(["strip", "-o", name, built["executable"]], check=True)
        for word in subprocess.run(["ldd", name], capture_output=True, text=True, check=True).stdout.split():
            if word.startswith("/") and not word.startswith(str(work)):
                copy = Path(f"{work}/root{word}")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, copy)
PYTHON
cp "$(command -v busybox)" "$work/root/bin/busybox"

if [ $# -eq 0 ]; then
    set -- engines:: explain:: histogram:: split:: binning:: objective::
fi
cat >"$work/root/init" <<INIT
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t tmpfs tmp /tmp
/bin/busybox mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1
/bin/busybox grep -q avx512_vbmi /proc/cpuinfo || /bin/busybox grep -q avx512vbmi /proc/cpuinfo || echo "no AVX-512"
for crate in segue_model segue_learners; do
    /bin/\$crate --test-threads 1 $*
    echo "\$crate ended with \$?"
done
# What is written last has to leave the serial line first.
/bin/busybox sleep 2
/bin/busybox poweroff -f
INIT
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/iso/initrd.gz"
cp "$kernel" "$work/iso/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/iso/isolinux/"
# Bochs says of the protection keys' state that it has no bytes, and of the compact form of all state that it is as
# large as the other; without both, Linux believes it and lets programs use AVX-512.
cat >"$work/iso/isolinux/isolinux.cfg" <<'BOOT'
DEFAULT tests
LABEL tests
  KERNEL /vmlinuz
  APPEND initrd=/initrd.gz console=ttyS0 quiet panic=1 nosmp noapic nokaslr mitigations=off lsm= cryptomgr.notests tsc=reliable lpj=10000000 clearcpuid=pku,ospke,xsavec,xsaves
BOOT
xorriso -as mkisofs -quiet -o "$work/boot.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat \
    -no-emul-boot -boot-load-size 4 -boot-info-table "$work/iso" 2>"$work/xorriso.log"
cat >"$work/bochsrc" <<BOCHS
display_library: rfb, options="timeout=0"
config_interface: textconfig
plugin_ctrl: unmapped=0, speaker=0, parallel=0
memory: guest=1024, host=1024
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0: enabled=1
ata0-master: type=cdrom, path=$work/boot.iso, status=inserted
boot: cdrom
cpu: model=corei3_cnl, count=1, ips=200000000, reset_on_triple_fault=0
clock: sync=none
log: $work/bochs.log
com1: enabled=1, mode=file, dev=$work/serial.txt
panic: action=fatal
BOCHS

# Debian's Bochs is built with its debugger, which waits to be told to go on. It shows its screen by VNC, on port
# 5900 of the machine: the form for terminals stands still when nobody reads it.
echo c >"$work/go"
bochs -q -f "$work/bochsrc" -rc "$work/go" </dev/null >"$work/screen.txt" 2>&1 || true
grep -a -E '^test |test result|ended with|panicked|no AVX-512' "$work/serial.txt"
if [ "$(grep -a -c ' ended with 0' "$work/serial.txt")" != 2 ] || grep -a -q 'no AVX-512' "$work/serial.txt"; then
    echo "the tests did not pass: see $work/serial.txt and $work/bochs.log" >&2
    exit 1
fi
