package job

// FeatureLayout in Hello.Features: carries out a job with Spec.Layout. Without it an agent gets none.
const FeatureLayout = "layout"

// FeatureMirror in Hello.Features: carries out a layout whose pool is a mirror of two disks.
const FeatureMirror = "mirror"

// FeatureRoots in Hello.Features: carries out layouts whose roots are partitions. Without it an agent gets none of
// them.
const FeatureRoots = "roots"

// FeatureVolumes in Hello.Features: carries out layouts with arrays and volume groups. Without it an agent gets no job
// with one: it would not know what they are.
const FeatureVolumes = "volumes"

// FeatureLUKS in Hello.Features: carries out a layout with encrypted partitions.
const FeatureLUKS = "luks"

// FeatureRecovery in Hello.Features: carries out a layout with partitions that a recovery key opens.
const FeatureRecovery = "recovery"

// FeatureEncryptedPool in Hello.Features: carries out a layout whose pool is encrypted.
const FeatureEncryptedPool = "encrypted-pool"
