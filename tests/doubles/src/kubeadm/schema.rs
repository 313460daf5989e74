//! Which fields a configuration file may have: the names and types of `kubeadm.k8s.io/v1beta4`, and
//! the fields at the top of kubelet's and kube-proxy's configurations.

use serde_json::Value;

/// What a field holds.
enum Shape {
    Any,
    Text,
    Number,
    Switch,
    Texts,
    Object(&'static str, &'static [Field]),
    List(&'static str, &'static [Field]),
}

use Shape::{Any, List, Number, Object, Switch, Text, Texts};

type Field = (&'static str, Shape);

const ARGUMENTS: Shape = List("Arg", &[("name", Text), ("value", Text)]);
const ENVIRONMENT: Shape = List(
    "EnvVar",
    &[("name", Text), ("value", Text), ("valueFrom", Any)],
);
const VOLUMES: Shape = List(
    "HostPathMount",
    &[
        ("name", Text),
        ("hostPath", Text),
        ("mountPath", Text),
        ("readOnly", Switch),
        ("pathType", Text),
    ],
);
const COMPONENT: &[Field] = &[
    ("extraArgs", ARGUMENTS),
    ("extraVolumes", VOLUMES),
    ("extraEnvs", ENVIRONMENT),
];
const ENDPOINT: Shape = Object(
    "APIEndpoint",
    &[("advertiseAddress", Text), ("bindPort", Number)],
);
const PATCHES: Shape = Object("Patches", &[("directory", Text)]);
const TIMEOUTS: Shape = Object(
    "Timeouts",
    &[
        ("controlPlaneComponentHealthCheck", Text),
        ("kubeletHealthCheck", Text),
        ("kubernetesAPICall", Text),
        ("etcdAPICall", Text),
        ("tlsBootstrap", Text),
        ("discovery", Text),
        ("upgradeManifests", Text),
    ],
);
const REGISTRATION: Shape = Object(
    "NodeRegistrationOptions",
    &[
        ("name", Text),
        ("criSocket", Text),
        (
            "taints",
            List(
                "Taint",
                &[
                    ("key", Text),
                    ("value", Text),
                    ("effect", Text),
                    ("timeAdded", Text),
                ],
            ),
        ),
        ("kubeletExtraArgs", ARGUMENTS),
        ("ignorePreflightErrors", Texts),
        ("imagePullPolicy", Text),
        ("imagePullSerial", Switch),
    ],
);
const INIT: &[Field] = &[
    (
        "bootstrapTokens",
        List(
            "BootstrapToken",
            &[
                ("token", Text),
                ("description", Text),
                ("ttl", Text),
                ("expires", Text),
                ("usages", Texts),
                ("groups", Texts),
            ],
        ),
    ),
    ("dryRun", Switch),
    ("nodeRegistration", REGISTRATION),
    ("localAPIEndpoint", ENDPOINT),
    ("certificateKey", Text),
    ("skipPhases", Texts),
    ("patches", PATCHES),
    ("timeouts", TIMEOUTS),
];
const CLUSTER: &[Field] = &[
    (
        "etcd",
        Object(
            "Etcd",
            &[
                (
                    "local",
                    Object(
                        "LocalEtcd",
                        &[
                            ("imageRepository", Text),
                            ("imageTag", Text),
                            ("dataDir", Text),
                            ("extraArgs", ARGUMENTS),
                            ("extraEnvs", ENVIRONMENT),
                            ("serverCertSANs", Texts),
                            ("peerCertSANs", Texts),
                        ],
                    ),
                ),
                (
                    "external",
                    Object(
                        "ExternalEtcd",
                        &[
                            ("endpoints", Texts),
                            ("httpEndpoints", Texts),
                            ("caFile", Text),
                            ("certFile", Text),
                            ("keyFile", Text),
                        ],
                    ),
                ),
            ],
        ),
    ),
    (
        "networking",
        Object(
            "Networking",
            &[
                ("serviceSubnet", Text),
                ("podSubnet", Text),
                ("dnsDomain", Text),
            ],
        ),
    ),
    ("kubernetesVersion", Text),
    ("controlPlaneEndpoint", Text),
    (
        "apiServer",
        Object(
            "APIServer",
            &[
                ("extraArgs", ARGUMENTS),
                ("extraVolumes", VOLUMES),
                ("extraEnvs", ENVIRONMENT),
                ("certSANs", Texts),
            ],
        ),
    ),
    (
        "controllerManager",
        Object("ControlPlaneComponent", COMPONENT),
    ),
    ("scheduler", Object("ControlPlaneComponent", COMPONENT)),
    (
        "dns",
        Object(
            "DNS",
            &[
                ("imageRepository", Text),
                ("imageTag", Text),
                ("disabled", Switch),
            ],
        ),
    ),
    ("proxy", Object("Proxy", &[("disabled", Switch)])),
    ("certificatesDir", Text),
    ("imageRepository", Text),
    ("featureGates", Any),
    ("clusterName", Text),
    ("encryptionAlgorithm", Text),
    ("certificateValidityPeriod", Text),
    ("caCertificateValidityPeriod", Text),
];
const JOIN: &[Field] = &[
    ("dryRun", Switch),
    ("nodeRegistration", REGISTRATION),
    ("caCertPath", Text),
    (
        "discovery",
        Object(
            "Discovery",
            &[
                (
                    "bootstrapToken",
                    Object(
                        "BootstrapTokenDiscovery",
                        &[
                            ("token", Text),
                            ("apiServerEndpoint", Text),
                            ("caCertHashes", Texts),
                            ("unsafeSkipCAVerification", Switch),
                        ],
                    ),
                ),
                ("file", Object("FileDiscovery", &[("kubeConfigPath", Text)])),
                ("tlsBootstrapToken", Text),
            ],
        ),
    ),
    (
        "controlPlane",
        Object(
            "JoinControlPlane",
            &[("localAPIEndpoint", ENDPOINT), ("certificateKey", Text)],
        ),
    ),
    ("skipPhases", Texts),
    ("patches", PATCHES),
    ("timeouts", TIMEOUTS),
];
const RESET: &[Field] = &[
    ("cleanupTmpDir", Switch),
    ("certificatesDir", Text),
    ("criSocket", Text),
    ("dryRun", Switch),
    ("force", Switch),
    ("ignorePreflightErrors", Texts),
    ("skipPhases", Texts),
    ("unmountFlags", Texts),
    ("timeouts", TIMEOUTS),
];
const UPGRADE: &[Field] = &[
    ("apply", Any),
    ("diff", Any),
    ("node", Any),
    ("plan", Any),
    ("timeouts", TIMEOUTS),
];

/// Fields of `kubelet.config.k8s.io/v1beta1`.
const KUBELET: &str = "enableServer staticPodPath podLogsDir syncFrequency fileCheckFrequency httpCheckFrequency \
    staticPodURL staticPodURLHeader address port readOnlyPort tlsCertFile tlsPrivateKeyFile tlsCipherSuites \
    tlsCurvePreferences tlsMinVersion rotateCertificates serverTLSBootstrap authentication authorization \
    registryPullQPS registryBurst imagePullCredentialsVerificationPolicy preloadedImagesVerificationAllowlist \
    eventRecordQPS eventBurst enableDebuggingHandlers enableContentionProfiling healthzPort healthzBindAddress \
    oomScoreAdj clusterDomain clusterDNS streamingConnectionIdleTimeout nodeStatusUpdateFrequency \
    nodeStatusReportFrequency nodeLeaseDurationSeconds imageMinimumGCAge imageMaximumGCAge \
    imageGCHighThresholdPercent imageGCLowThresholdPercent volumeStatsAggPeriod kubeletCgroups systemCgroups \
    cgroupRoot cgroupsPerQOS cgroupDriver cpuManagerPolicy singleProcessOOMKill cpuManagerPolicyOptions \
    cpuManagerReconcilePeriod memoryManagerPolicy topologyManagerPolicy topologyManagerScope \
    topologyManagerPolicyOptions qosReserved runtimeRequestTimeout hairpinMode maxPods podCIDR podPidsLimit \
    resolvConf runOnce cpuCFSQuota cpuCFSQuotaPeriod nodeStatusMaxImages maxOpenFiles contentType kubeAPIQPS \
    kubeAPIBurst serializeImagePulls maxParallelImagePulls evictionHard evictionSoft evictionSoftGracePeriod \
    evictionPressureTransitionPeriod evictionMaxPodGracePeriod evictionMinimumReclaim \
    mergeDefaultEvictionSettings podsPerCore enableControllerAttachDetach protectKernelDefaults \
    makeIPTablesUtilChains iptablesMasqueradeBit iptablesDropBit featureGates failSwapOn memorySwap \
    containerLogMaxSize containerLogMaxFiles containerLogMaxWorkers containerLogMonitorInterval \
    configMapAndSecretChangeDetectionStrategy systemReserved kubeReserved reservedSystemCPUs \
    showHiddenMetricsForVersion systemReservedCgroup kubeReservedCgroup enforceNodeAllocatable \
    allowedUnsafeSysctls volumePluginDir providerID kernelMemcgNotification logging enableSystemLogHandler \
    enableSystemLogQuery shutdownGracePeriod shutdownGracePeriodCriticalPods shutdownGracePeriodByPodPriority \
    crashLoopBackOff reservedMemory enableProfilingHandler enableDebugFlagsHandler seccompDefault \
    memoryThrottlingFactor memoryReservationPolicy registerWithTaints registerNode tracing \
    localStorageCapacityIsolation containerRuntimeEndpoint imageServiceEndpoint failCgroupV1 userNamespaces";

/// Fields of `kubeproxy.config.k8s.io/v1alpha1`.
const KUBE_PROXY: &str = "featureGates clientConnection logging hostnameOverride bindAddress healthzBindAddress \
    metricsBindAddress bindAddressHardFail enableProfiling showHiddenMetricsForVersion mode iptables ipvs \
    nftables winkernel detectLocalMode detectLocal clusterCIDR nodePortAddresses oomScoreAdj conntrack \
    configSyncPeriod portRange windowsRunAsService";

/// What is wrong with a document of a kind.
pub enum Wrong {
    /// The kind is not known.
    Kind,
    /// A value of another type: nothing reads such a file.
    Type(String),
    /// Fields that nobody knows: only a strict reader minds.
    Unknown(Vec<String>),
}

pub fn check(group: &str, version: &str, kind: &str, document: &Value) -> Result<(), Wrong> {
    let fields = match (group, version, kind) {
        ("kubeadm.k8s.io", "v1beta4", "InitConfiguration") => INIT,
        ("kubeadm.k8s.io", "v1beta4", "ClusterConfiguration") => CLUSTER,
        ("kubeadm.k8s.io", "v1beta4", "JoinConfiguration") => JOIN,
        ("kubeadm.k8s.io", "v1beta4", "ResetConfiguration") => RESET,
        ("kubeadm.k8s.io", "v1beta4", "UpgradeConfiguration") => UPGRADE,
        ("kubelet.config.k8s.io", "v1beta1", "KubeletConfiguration") => {
            return names(KUBELET, document);
        }
        ("kubeproxy.config.k8s.io", "v1alpha1", "KubeProxyConfiguration") => {
            return names(KUBE_PROXY, document);
        }
        _ => return Err(Wrong::Kind),
    };
    let mut unknown = Vec::new();
    walk(fields, document, kind, "", &mut unknown).map_err(Wrong::Type)?;
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Wrong::Unknown(unknown))
    }
}

fn names(known: &str, document: &Value) -> Result<(), Wrong> {
    let unknown: Vec<String> = document
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(|name| !["apiVersion", "kind"].contains(&name.as_str()))
        .filter(|name| !known.split_whitespace().any(|field| field == *name))
        .cloned()
        .collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Wrong::Unknown(unknown))
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        _ => "bool",
    }
}

fn walk(
    fields: &[Field],
    value: &Value,
    owner: &str,
    path: &str,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    let Some(object) = value.as_object() else {
        return Ok(());
    };
    for (name, value) in object {
        let here = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if path.is_empty() && ["apiVersion", "kind"].contains(&name.as_str()) {
            continue;
        }
        let Some((_, shape)) = fields.iter().find(|(field, _)| field == name) else {
            unknown.push(here);
            continue;
        };
        let fits = value.is_null()
            || match shape {
                Any => true,
                Text => value.is_string(),
                Number => value.is_i64(),
                Switch => value.is_boolean(),
                Texts => value
                    .as_array()
                    .is_some_and(|items| items.iter().all(Value::is_string)),
                Object(..) => value.is_object(),
                List(..) => value.is_array(),
            };
        if !fits {
            let kind = match shape {
                Number => "int32".to_owned(),
                Switch => "bool".to_owned(),
                Texts => "[]string".to_owned(),
                Object(kind, _) => format!("v1beta4.{kind}"),
                List(kind, _) => format!("[]v1beta4.{kind}"),
                Any | Text => "string".to_owned(),
            };
            return Err(format!(
                "json: cannot unmarshal {} into Go struct field {owner}.{here} of type {kind}",
                type_of(value)
            ));
        }
        match shape {
            Object(kind, fields) => walk(fields, value, kind, &here, unknown)?,
            List(kind, fields) => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    walk(fields, item, kind, &format!("{here}[{index}]"), unknown)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
