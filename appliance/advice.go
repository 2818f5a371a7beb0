package appliance

// Advice is an error with what a person should do about it, in one sentence.
type Advice struct {
	Err error
	Do  string
}

func (a Advice) Error() string { return a.Err.Error() }

// Unwrap returns the error itself.
func (a Advice) Unwrap() error { return a.Err }
