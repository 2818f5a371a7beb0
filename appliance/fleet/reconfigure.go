package fleet

// Reconfigure changes what o says of unknown machines, hostnames and kernel arguments, from the next boot and the next
// new machine on. The rest of o is ignored. It may be called at any time.
func (f *Fleet) Reconfigure(o Options) {
	next := f.o
	next.Unknown, next.Hostname, next.Args = o.Unknown, o.Hostname, o.Args
	if next.Unknown == "" {
		next.Unknown = OfferMenu
	}
	if next.Hostname == "" {
		next.Hostname = defaultPattern
	}
	f.newer.Store(&next)
}

// options are those of Open, with what Reconfigure changed.
func (f *Fleet) options() Options {
	if o := f.newer.Load(); o != nil {
		return *o
	}
	return f.o
}
