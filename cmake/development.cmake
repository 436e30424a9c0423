# For builds inside this tree's own environment, given as -DCMAKE_PROJECT_INCLUDE=<this file>.
# A plain colcon build on a robot does not need it.
#
# CMake refuses two kinds of include folders that such a build brings along:
# - ROS 2's PyPI wheels name folders of the machine that built them (/opt/python/...);
# - numpy's headers lie in .venv, inside the source tree, which an exported target must not name.
# Drops both once the project has found and made its targets.
function(pika_drop_foreign_includes)
  get_property(imported DIRECTORY PROPERTY IMPORTED_TARGETS)
  get_property(built DIRECTORY PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS imported built)
    get_target_property(includes ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(includes)
      list(FILTER includes EXCLUDE REGEX "^/opt/python/|/numpy/(_core|core)/include$")
      set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${includes}")
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL pika_drop_foreign_includes)
