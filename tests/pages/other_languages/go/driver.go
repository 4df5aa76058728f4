package main

import _ "example.org/scheduling/driver"
