package job

// FeatureLayout in Hello.Features: carries out a job with Spec.Layout. Without it an agent gets none.
const FeatureLayout = "layout"
