package yamltree

// Nearest is "did you mean KNOWN?" where one of known is near enough to name to be meant, else empty.
func Nearest(name string, known []string) string {
	if len(name) > 64 {
		return ""
	}
	best, least := "", len(name)/3+2
	for _, k := range known {
		if d := Typos(name, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// Typos counts the letters that are missing, too many, wrong or exchanged with their neighbour between a and b (optimal
// string alignment; Damerau 1964).
func Typos(a, b string) int {
	grid := make([][]int, len(a)+1)
	for i := range grid {
		grid[i] = make([]int, len(b)+1)
		grid[i][0] = i
	}
	for j := range grid[0] {
		grid[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			same := grid[i-1][j-1]
			if a[i-1] != b[j-1] {
				same++
			}
			grid[i][j] = min(same, grid[i-1][j]+1, grid[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				grid[i][j] = min(grid[i][j], grid[i-2][j-2]+1)
			}
		}
	}
	return grid[len(a)][len(b)]
}
