//go:build torture

package resize

// torture says that tests do all that they can, which takes long.
const torture = true
