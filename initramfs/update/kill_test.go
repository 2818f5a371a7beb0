package update

const killEnv = "GRIDDLE_TEST_UPDATE"

func updateOnce(string) {}
