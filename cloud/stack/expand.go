package stack

// ExpandValue is Expand for every string within a parsed value (map[string]any, []any and scalars), keys excepted; it
// returns a copy.
func ExpandValue(v any, lookup func(Reference) (string, error)) (any, error) {
	switch v := v.(type) {
	case string:
		return Expand(v, lookup)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = ExpandValue(v[i], lookup); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			x, err := ExpandValue(v[k], lookup)
			if err != nil {
				return nil, err
			}
			out[k] = x
		}
		return out, nil
	}
	return v, nil
}
