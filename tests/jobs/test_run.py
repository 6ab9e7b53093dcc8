def test_x(tiny_run): pass
