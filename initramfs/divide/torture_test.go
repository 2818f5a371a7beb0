//go:build torture

package divide

// torture says that tests do all that they can, which takes long.
const torture = true
