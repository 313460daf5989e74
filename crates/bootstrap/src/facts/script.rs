//! What is run on a host to find out what it is like. It reads and changes nothing; whatever a host has
//! not is left out of its answer.
//!
//! An answer is lines of a word, a tab and a value. Files are in Base64, so that a value is one line. What
//! comes before the first line and after the last (greetings of shells) is none of it.

use std::fmt::Write;
use std::net::IpAddr;

use crate::inventory::Inventory;
use crate::plan::steps::{FILES, MODULES, PACKAGES, PROGRAMS, SYSCTLS, UNITS};
use crate::plan::{BEGUN, Fact, quote};

/// The first line of an answer.
pub(super) const FIRST: &str = "evenkeel-facts-1";
/// The last one.
pub(super) const LAST: &str = "evenkeel-facts-end";

/// Units that no step touches and findings speak of.
const OTHER_UNITS: [&str; 9] = [
    "firewalld.service",
    "ufw.service",
    "chrony.service",
    "chronyd.service",
    "ntp.service",
    "ntpd.service",
    "ntpsec.service",
    "systemd-timesyncd.service",
    "haproxy.service",
];

/// Where etcd, containers and pods have their data.
const MOUNTS: [&str; 4] = [
    "/",
    "/var/lib/etcd",
    "/var/lib/containerd",
    "/var/lib/kubelet",
];

/// The longest file whose text is brought: lists of blocked names in /etc/hosts have tens of thousands of lines.
pub(super) const LONGEST_TEXT_BYTES: u64 = 1 << 20;

/// The script for all hosts of a cluster.
pub(super) fn script(inventory: &Inventory) -> String {
    let mut script = String::from(HEAD);
    list(&mut script, "MODULES", &MODULES);
    for name in MODULES {
        let probe = Fact::Module {
            name: name.to_owned(),
        }
        .probe();
        // Writing to a string cannot fail.
        let _ = writeln!(script, "if {probe}; then say module {name}; fi");
    }
    list(&mut script, "SYSCTLS", &SYSCTLS);
    list(&mut script, "PACKAGES", &PACKAGES);
    list(&mut script, "PROGRAMS", &PROGRAMS);
    let units: Vec<_> = UNITS.iter().chain(&OTHER_UNITS).copied().collect();
    list(&mut script, "UNITS", &units);
    list(&mut script, "MOUNTS", &MOUNTS);
    // Unquoted where it is used, since one of them is a pattern.
    list(&mut script, "FILES", &FILES);
    let vip: IpAddr = inventory.endpoint.vip;
    let images = if inventory.artefacts.images.is_empty() {
        ""
    } else {
        "yes"
    };
    let socket = inventory.runtime.socket.trim_start_matches("unix://");
    let _ = writeln!(
        script,
        "VIP={vip}\nSOCKET={}\nBEGUN={}\nLONGEST={LONGEST_TEXT_BYTES}\nIMAGES={images}",
        quote(socket),
        quote(BEGUN)
    );
    script.push_str(BODY);
    script
}

fn list(script: &mut String, name: &str, words: &[&str]) {
    let _ = writeln!(script, "{name}={}", quote(&words.join(" ")));
}

const HEAD: &str = "set +eu
export LC_ALL=C PATH=\"$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"
say() { printf '%s\\t%s\\n' \"$1\" \"$2\"; }
encoded() { base64 \"$1\" | tr -d '\\n'; }
echo evenkeel-facts-1
say clock \"$(date +%s.%N)\"
";

const BODY: &str = r#"
say hostname "$(cat /proc/sys/kernel/hostname)"
say machine-id "$(cat /etc/machine-id 2>/dev/null)"
say product-uuid "$(cat /sys/class/dmi/id/product_uuid 2>/dev/null)"
say kernel "$(uname -r)"
say arch "$(uname -m)"
say cpus "$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc)"
say memory "$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo)"
say container "$(systemd-detect-virt --container 2>/dev/null)"
sed 1d /proc/swaps 2>/dev/null | while read -r name rest; do say swap "$name"; done
cat /etc/os-release /usr/lib/os-release 2>/dev/null | while IFS== read -r name value; do
  case "$name" in ID|VERSION_ID|PRETTY_NAME) say os "$name=$value" ;; esac
done
if command -v modprobe >/dev/null && [ -d "/lib/modules/$(uname -r)" ]; then
  for name in $MODULES; do modprobe -n -q "$name" || say module-absent "$name"; done
fi
for key in $SYSCTLS; do
  file=/proc/sys/$(echo "$key" | tr . /)
  if [ -r "$file" ]; then say sysctl "$key=$(cat "$file")"; fi
done
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then say cgroup 2; fi
if [ -d /run/systemd/system ]; then say systemd yes; fi
if [ -r /sys/fs/selinux/enforce ]; then say selinux "$(cat /sys/fs/selinux/enforce)"; fi

ip -o link show 2>/dev/null | while read -r line; do say link "$line"; done
ip -o addr show 2>/dev/null | while read -r line; do say address "$line"; done
say route "$(ip -o route get "$VIP" 2>/dev/null | head -n 1)"
say default-route "$({ ip -o route show default; ip -o -6 route show default; } 2>/dev/null | head -n 1)"
ip -o -6 route show default 2>/dev/null | grep -q 'proto ra' && say default-by-advert yes

if command -v ss >/dev/null; then
  ss -Hltnp | while read -r line; do say listener "$line"; done
else
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r number local remote state rest; do
    if [ "$state" = 0A ]; then say bound "$local"; fi
  done
fi

if command -v apt-get >/dev/null; then
  say package-manager apt
  dpkg-query -W -f '${db:Status-Abbrev}\t${Package}\t${Version}\n' $PACKAGES 2>/dev/null | while read -r state name version; do
    case "$state" in
      ?i*) say package "$name $version" ;;
      ?[HUF]*) say unconfigured "$name" ;;
    esac
  done
  apt-mark showhold 2>/dev/null | while read -r name; do say held "$name"; done
elif command -v dnf >/dev/null; then
  say package-manager dnf
  for name in $PACKAGES; do
    version=$(rpm -q --qf '%{VERSION}-%{RELEASE}' "$name" 2>/dev/null) && say package "$name $version"
  done
  locks=$(timeout 20 dnf -q -C versionlock list 2>/dev/null)
  for name in $PACKAGES; do
    if echo "$locks" | grep -q "^$name-\|^Package name: $name\$"; then say held "$name"; fi
  done
fi
for name in $PROGRAMS; do
  command -v "$name" >/dev/null || continue
  case "$name" in
    kubeadm) words='version -o short' ;;
    kubectl) words='version --client' ;;
    *) words=--version ;;
  esac
  say program "$name $(timeout 10 "$name" $words 2>&1 </dev/null | tr '\n' ' ')"
done
if command -v containerd >/dev/null; then
  settings=$(timeout 10 containerd config dump 2>/dev/null)
  say runtime "settings $(echo "$settings" | base64 | tr -d '\n')"
  say runtime "sandbox-image $(echo "$settings" | sed -n 's/^ *sandbox\(_image\)\{0,1\} *= *//p' | head -n 1)"
fi
if [ -n "$IMAGES" ] && command -v ctr >/dev/null; then
  timeout 20 ctr -n k8s.io images ls -q 2>/dev/null | grep -v '[@]' | while read -r name; do say image "$name"; done
fi
if [ -S "$SOCKET" ]; then say runtime 'socket yes'; fi
if [ -d /run/systemd/system ]; then
  for unit in $UNITS; do
    say unit "$unit $(systemctl show -p LoadState -p UnitFileState -p ActiveState "$unit" 2>/dev/null | tr '\n' ' ')"
  done
fi

env | grep -i '^[a-z]*_proxy=' | while read -r line; do say proxy "$line"; done
grep -i '^ *\(export *\)\{0,1\}[a-z]*_proxy=' /etc/environment 2>/dev/null | while read -r line; do say proxy "$line"; done
if [ -d /run/systemd/system ]; then
  systemctl show-environment 2>/dev/null | grep -i '^[a-z]*_proxy=' | while read -r line; do say proxy "$line"; done
fi

for path in $MOUNTS; do
  place=$path
  while [ ! -d "$place" ]; do place=$(dirname "$place"); done
  say room "$(df -Pk "$place" 2>/dev/null | { read -r titles; read -r device blocks used free rest; echo "$free"; }) $path"
done
for path in $FILES; do
  [ -f "$path" ] || continue
  size=$(stat -L -c %s "$path")
  text=-
  if [ "$size" -le "$LONGEST" ]; then text=$(encoded "$path"); fi
  say file "$(stat -L -c %a "$path") $(sha256sum "$path" | cut -d ' ' -f 1) ${text:-=} $path"
done
for path in /etc/kubernetes/admin.conf /etc/kubernetes/kubelet.conf /etc/kubernetes/manifests/kube-apiserver.yaml /var/lib/etcd/member; do
  if [ -e "$path" ]; then say kube "$path"; fi
done
if [ -e "$BEGUN" ]; then say begun "$(head -n 1 "$BEGUN")"; fi
if [ -f /etc/kubernetes/pki/ca.crt ]; then say ca "$(encoded /etc/kubernetes/pki/ca.crt)"; fi
if [ -e /etc/kubernetes/manifests/kube-apiserver.yaml ] && command -v kubeadm >/dev/null; then
  timeout 30 kubeadm certs check-expiration 2>/dev/null </dev/null |
    sed '/^CERTIFICATE AUTHORITY/,$d' | grep ' UTC ' | while read -r line; do say certificate "$line"; done
fi
say clock "$(date +%s.%N)"
echo evenkeel-facts-end
"#;
