//! What kubeadm's documents may hold (`kubeadm.k8s.io/v1beta4`): a table of fields and their shapes. Those
//! of kubelet and kube-proxy stand in [`super::components`].

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    Number,
    Decimal,
    Switch,
    /// As Go writes it: `5m0s`.
    Duration,
    Texts,
    Numbers,
    /// Names of checks, [`CHECKS`].
    Checks,
    /// Of `kubeadm init` or `join`: those that may be left out, and the rest.
    Phases(&'static [&'static str], &'static [&'static str]),
    /// Any names, each with a string.
    TextOfEach,
    /// Any names, each with a list of strings.
    TextsOfEach,
    /// Any names, each with true or false.
    SwitchOfEach,
    /// `name` and `value`, as a flag of a component; a table up to v1beta3.
    Arguments,
    Object(&'static [Field]),
    List(&'static [Field]),
    /// Another project's type, whose fields change with it.
    Any,
}

use Shape::{
    Any, Arguments, Checks, Choice, Duration, List, Number, Object, Phases, Switch, SwitchOfEach,
    Text, Texts,
};

/// A name and what it holds.
pub(super) type Field = (&'static str, Shape);

pub(super) const ARGUMENT: &[Field] = &[("name", Text), ("value", Text)];
const ENVIRONMENT: Shape = List(&[("name", Text), ("value", Text), ("valueFrom", Any)]);
const VOLUMES: Shape = List(&[
    ("name", Text),
    ("hostPath", Text),
    ("mountPath", Text),
    ("readOnly", Switch),
    (
        "pathType",
        Choice(&[
            "DirectoryOrCreate",
            "Directory",
            "FileOrCreate",
            "File",
            "Socket",
            "CharDevice",
            "BlockDevice",
        ]),
    ),
]);
const COMPONENT: Shape = Object(&[
    ("extraArgs", Arguments),
    ("extraVolumes", VOLUMES),
    ("extraEnvs", ENVIRONMENT),
]);
const ENDPOINT: Shape = Object(&[("advertiseAddress", Text), ("bindPort", Number)]);
const PATCHES: Shape = Object(&[("directory", Text)]);
const TIMEOUTS: Shape = Object(&[
    ("controlPlaneComponentHealthCheck", Duration),
    ("kubeletHealthCheck", Duration),
    ("kubernetesAPICall", Duration),
    ("etcdAPICall", Duration),
    ("tlsBootstrap", Duration),
    ("discovery", Duration),
    ("upgradeManifests", Duration),
]);
pub(super) const TAINTS: Shape = List(&[
    ("key", Text),
    ("value", Text),
    (
        "effect",
        Choice(&["NoSchedule", "PreferNoSchedule", "NoExecute"]),
    ),
    ("timeAdded", Text),
]);
const REGISTRATION: Shape = Object(&[
    ("name", Text),
    ("criSocket", Text),
    ("taints", TAINTS),
    ("kubeletExtraArgs", Arguments),
    ("ignorePreflightErrors", Checks),
    (
        "imagePullPolicy",
        Choice(&["Always", "IfNotPresent", "Never"]),
    ),
    ("imagePullSerial", Switch),
]);

/// `InitConfiguration`.
pub(super) const INIT: &[Field] = &[
    ("bootstrapTokens", Any),
    ("certificateKey", Text),
    ("dryRun", Switch),
    ("localAPIEndpoint", ENDPOINT),
    ("nodeRegistration", REGISTRATION),
    ("patches", PATCHES),
    (
        "skipPhases",
        Phases(
            &[
                "preflight",
                "addon",
                "addon/coredns",
                "addon/kube-proxy",
                "kubelet-finalize",
                "show-join-command",
            ],
            &[
                "bootstrap-token",
                "certs",
                "control-plane",
                "etcd",
                "kubeconfig",
                "kubelet-start",
                "mark-control-plane",
                "upload-certs",
                "upload-config",
                "wait-control-plane",
            ],
        ),
    ),
    ("timeouts", TIMEOUTS),
];

/// `ClusterConfiguration`.
pub(super) const CLUSTER: &[Field] = &[
    (
        "apiServer",
        Object(&[
            ("certSANs", Texts),
            ("extraArgs", Arguments),
            ("extraVolumes", VOLUMES),
            ("extraEnvs", ENVIRONMENT),
        ]),
    ),
    ("caCertificateValidityPeriod", Duration),
    ("certificateValidityPeriod", Duration),
    ("certificatesDir", Text),
    ("clusterName", Text),
    ("controlPlaneEndpoint", Text),
    ("controllerManager", COMPONENT),
    (
        "dns",
        Object(&[
            ("imageRepository", Text),
            ("imageTag", Text),
            ("disabled", Switch),
        ]),
    ),
    (
        "encryptionAlgorithm",
        Choice(&[
            "RSA-2048",
            "RSA-3072",
            "RSA-4096",
            "ECDSA-P256",
            "ECDSA-P384",
        ]),
    ),
    (
        "etcd",
        Object(&[
            (
                "local",
                Object(&[
                    ("imageRepository", Text),
                    ("imageTag", Text),
                    ("dataDir", Text),
                    ("extraArgs", Arguments),
                    ("extraEnvs", ENVIRONMENT),
                    ("serverCertSANs", Texts),
                    ("peerCertSANs", Texts),
                ]),
            ),
            ("external", Any),
        ]),
    ),
    ("featureGates", SwitchOfEach),
    ("imageRepository", Text),
    ("kubernetesVersion", Text),
    (
        "networking",
        Object(&[
            ("dnsDomain", Text),
            ("podSubnet", Text),
            ("serviceSubnet", Text),
        ]),
    ),
    ("proxy", Object(&[("disabled", Switch)])),
    ("scheduler", COMPONENT),
];

/// `JoinConfiguration`.
pub(super) const JOIN: &[Field] = &[
    ("caCertPath", Text),
    (
        "controlPlane",
        Object(&[("certificateKey", Text), ("localAPIEndpoint", ENDPOINT)]),
    ),
    ("discovery", Any),
    ("dryRun", Switch),
    ("nodeRegistration", REGISTRATION),
    ("patches", PATCHES),
    (
        "skipPhases",
        Phases(
            &["preflight", "wait-control-plane"],
            &[
                "control-plane-join",
                "control-plane-prepare",
                "etcd-join",
                "kubelet-start",
                "kubelet-wait-bootstrap",
            ],
        ),
    ),
    ("timeouts", TIMEOUTS),
];

/// Checks of `kubeadm init` and `join` by their whole names; upper and lower case are alike to kubeadm.
pub(super) const CHECKS: [&str; 20] = [
    "all",
    "ContainerRuntimeVersion",
    "CRI",
    "ExternalEtcdClientCertificates",
    "ExternalEtcdVersion",
    "Firewalld",
    "Hostname",
    "HTTPProxy",
    "HTTPProxyCIDR",
    "ImagePull",
    "IsPrivilegedUser",
    "KubeletVersion",
    "KubernetesVersion",
    "Mem",
    "NumCPU",
    "Service-Kubelet",
    "Service-Containerd",
    "Service-Docker",
    "Swap",
    "SystemVerification",
];

/// What else their names begin with; a port, a path or a program follows.
pub(super) const CHECK_BEGINNINGS: [&str; 6] = [
    "Port-",
    "DirAvailable-",
    "FileAvailable-",
    "FileContent-",
    "FileExisting-",
    "Service-",
];
