package setup

import "griddle/cloud/yamltree"

// maxAnswers bounds a file of answers, in bytes.
const maxAnswers = 8 << 10

// ParseAnswers reads a file of answers: a mapping of the keys of Question to text or whole numbers. Every fault is
// listed with its place, as yamltree.Faults.
func ParseAnswers(file string, b []byte) (map[string]string, error) {
	r := yamltree.NewReader(file)
	answers := map[string]string{}
	n := r.Read(b, yamltree.Options{Bytes: maxAnswers, Depth: 2})
	if n != nil && n.Kind != yamltree.Null {
		var fields []yamltree.Field
		for _, k := range keys() {
			fields = append(fields, yamltree.Key(k, func(n *yamltree.Node, path string) {
				if n.Kind == yamltree.Int || r.Want(n, path, yamltree.Text, "text or a whole number") {
					answers[k] = n.Raw
				}
			}))
		}
		r.Object(n, "", "answers", fields)
	}
	if err := r.Faults().Err(); err != nil {
		return nil, err
	}
	return answers, nil
}
